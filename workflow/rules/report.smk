# Tables, figures and the report, from the metrics files that the params name (never from a glob).


rule tables:
    input:
        [LAYOUT.metrics(run) for run in LAYOUT.runs()],
        [LAYOUT.log(run) for run in LAYOUT.runs()],
        [LAYOUT.gap(task) for task in LAYOUT.params.tasks],
        [LAYOUT.probes(task) for task in LAYOUT.params.tasks],
        [LAYOUT.cost(task) for task in LAYOUT.params.tasks],
    output:
        runs="results/{study}/metrics/runs.csv",
        summary="results/{study}/metrics/summary.json",
        curves="results/{study}/metrics/curves.csv",
        main=report(
            "results/{study}/tables/main.csv",
            caption="../report/main.rst",
            category="Tables",
        ),
        others=expand(
            "results/{{study}}/tables/{name}.{suffix}",
            name=["all_metrics", "gap", "probes", "cost"],
            suffix=["csv", "md", "tex"],
        ),
        texts=expand("results/{{study}}/tables/{name}", name=["main.md", "main.tex", "findings.md"]),
        record="results/{study}/records/tables.json",
    log:
        "logs/{study}/tables.log",
    benchmark:
        "logs/{study}/tables.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=1000,
    params:
        file=PARAMS_FILE,
        report=report_hash(LAYOUT.params),
    message:
        "Writing the tables of study {wildcards.study}"
    shell:
        "python -m dejavu tables --params {params.file} > {log} 2>&1"


rule figures:
    input:
        rules.tables.input,
        [LAYOUT.checkpoint(run) for run in LAYOUT.runs() if run.seed == LAYOUT.params.seeds[0]],
        data_files(LAYOUT.params.evaluation.split),
    output:
        charts=report(
            expand(
                "results/{{study}}/figures/{name}.png",
                name=["paired_differences", "training_curves", "gap"],
            ),
            caption="../report/charts.rst",
            category="Figures",
        ),
        sheets=report(
            expand(
                "results/{{study}}/figures/qualitative_{task}.png",
                task=LAYOUT.params.tasks,
            ),
            caption="../report/qualitative.rst",
            category="Figures",
        ),
        record="results/{study}/records/figures.json",
    log:
        "logs/{study}/figures.log",
    benchmark:
        "logs/{study}/figures.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=2000,
    params:
        file=PARAMS_FILE,
        report=report_hash(LAYOUT.params),
    message:
        "Drawing the figures of study {wildcards.study}"
    shell:
        "python -m dejavu figures --params {params.file} > {log} 2>&1"


rule write_report:
    input:
        rules.tables.input,
        rules.figures.output.charts,
        rules.figures.output.sheets,
    output:
        report(
            "results/{study}/report.html",
            caption="../report/report.rst",
            category="Report",
        ),
        record="results/{study}/records/report.json",
    log:
        "logs/{study}/report.log",
    benchmark:
        "logs/{study}/report.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=1000,
    params:
        file=PARAMS_FILE,
        report=report_hash(LAYOUT.params),
    message:
        "Writing the report of study {wildcards.study}"
    shell:
        "python -m dejavu report --params {params.file} > {log} 2>&1"


rule reported:
    input:
        expand(rules.tables.output, study=STUDY),
        expand(rules.figures.output, study=STUDY),
        expand(rules.write_report.output, study=STUDY),
