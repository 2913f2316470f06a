# Tables, figures and the report, from the metrics files that the params name (never from a glob).


rule tables:
    input:
        reads("tables"),
    output:
        **writes("tables", "Tables", main="main.rst"),
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
        **hashes("tables"),
        file=params_file,
    message:
        "Writing the tables of study {wildcards.study}"
    shell:
        "python -m dejavu tables --params {params.file:q} > {log:q} 2>&1"


rule figures:
    input:
        reads("figures"),
    output:
        **writes("figures", "Figures", charts="charts.rst", sheets="qualitative.rst"),
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
        **hashes("figures"),
        file=params_file,
    message:
        "Drawing the figures of study {wildcards.study}"
    shell:
        "python -m dejavu figures --params {params.file:q} > {log:q} 2>&1"


rule write_report:
    input:
        reads("report"),
    output:
        **writes("report", "Report", report="report.rst"),
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
        **hashes("report"),
        file=params_file,
    message:
        "Writing the report of study {wildcards.study}"
    shell:
        "python -m dejavu report --params {params.file:q} > {log:q} 2>&1"


rule reported:
    input:
        made("tables"),
        made("figures"),
        made("report"),
    message:
        "Tables, figures and report are written"
