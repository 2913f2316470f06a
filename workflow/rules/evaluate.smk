# Numbers: every run's metrics, every redaction's oracle gap, every method's cost.


rule evaluate:
    input:
        checkpoint=rules.train.output.checkpoint,
        scenes=data_files(LAYOUT.params.evaluation.split),
        manifest="data/{study}/manifest.json",
    output:
        "results/{study}/metrics/runs/{task}/{network}/{method}/seed{seed}.json",
        record="results/{study}/records/evaluate/{task}/{network}/{method}/seed{seed}.json",
    log:
        "logs/{study}/evaluate/{task}/{network}/{method}/seed{seed}.log",
    benchmark:
        "logs/{study}/evaluate/{task}/{network}/{method}/seed{seed}.tsv"
    conda:
        ENVIRONMENT
    threads: LAYOUT.params.train.threads
    resources:
        mem_mb=memory_mb(2000),
        gpu=GPU,
    params:
        file=PARAMS_FILE,
        run=lambda w: run_of(w).hash,
        evaluation=lambda w: evaluation_hash(LAYOUT.params, w.task),
    message:
        "Scoring {wildcards.task}, {wildcards.network}, {wildcards.method}, seed {wildcards.seed}"
    shell:
        "python -m dejavu evaluate --params {params.file} --expect {params.run}"
        " --task {wildcards.task} --network {wildcards.network} --method {wildcards.method}"
        " --seed {wildcards.seed} > {log} 2>&1"


rule measure_gap:
    input:
        train=data_files("train"),
        val=data_files("val"),
        manifest="data/{study}/manifest.json",
    output:
        "results/{study}/metrics/gap/{task}.json",
        record="results/{study}/records/gap/{task}.json",
    log:
        "logs/{study}/gap/{task}.log",
    benchmark:
        "logs/{study}/gap/{task}.tsv"
    conda:
        ENVIRONMENT
    threads: LAYOUT.params.train.threads
    resources:
        mem_mb=memory_mb(2000),
        gpu=GPU,
    params:
        file=PARAMS_FILE,
        gap=lambda w: gap_hash(LAYOUT.params, w.task),
    message:
        "Measuring the oracle gap of the redactions for {wildcards.task}"
    shell:
        "python -m dejavu gap --params {params.file} --task {wildcards.task} > {log} 2>&1"


rule measure_probes:
    input:
        lambda w: [LAYOUT.checkpoint(run) for run in LAYOUT.probed(w.task)],
        train=data_files("train"),
        val=data_files("val"),
        manifest="data/{study}/manifest.json",
    output:
        "results/{study}/metrics/probes/{task}.json",
        record="results/{study}/records/probes/{task}.json",
    log:
        "logs/{study}/probes/{task}.log",
    benchmark:
        "logs/{study}/probes/{task}.tsv"
    conda:
        ENVIRONMENT
    threads: LAYOUT.params.train.threads
    resources:
        mem_mb=memory_mb(2000),
        gpu=GPU,
    params:
        file=PARAMS_FILE,
        probes=lambda w: probes_hash(LAYOUT.params, w.task),
    message:
        "Probing what the regenerations need, for {wildcards.task}"
    shell:
        "python -m dejavu probes --params {params.file} --task {wildcards.task} > {log} 2>&1"


rule measure_cost:
    input:
        TEXT_PAIR,
        scenes=data_files("train"),
        manifest="data/{study}/manifest.json",
    output:
        "results/{study}/metrics/cost/{task}.json",
        record="results/{study}/records/cost/{task}.json",
    log:
        "logs/{study}/cost/{task}.log",
    benchmark:
        "logs/{study}/cost/{task}.tsv"
    conda:
        ENVIRONMENT
    threads: LAYOUT.params.train.threads
    resources:
        mem_mb=memory_mb(4000),
        gpu=GPU,
    params:
        file=PARAMS_FILE,
        cost=lambda w: cost_hash(LAYOUT.params, w.task),
    message:
        "Measuring what the methods cost in training, for {wildcards.task}"
    shell:
        "python -m dejavu cost --params {params.file} --task {wildcards.task} > {log} 2>&1"
