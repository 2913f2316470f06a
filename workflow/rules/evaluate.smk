# Numbers: every run's metrics, every redaction's oracle gap, every method's cost.


rule evaluate:
    input:
        reads("evaluate"),
    output:
        **writes("evaluate"),
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
        **hashes("evaluate"),
        file=params_file,
    message:
        "Scoring {wildcards.task}, {wildcards.network}, {wildcards.method}, seed {wildcards.seed}"
    shell:
        "python -m dejavu evaluate --params {params.file:q} --expect {params.run:q}"
        " --task {wildcards.task:q} --network {wildcards.network:q} --method {wildcards.method:q}"
        " --seed {wildcards.seed:q} > {log:q} 2>&1"


rule measure_gap:
    input:
        reads("gap"),
    output:
        **writes("gap"),
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
        **hashes("gap"),
        file=params_file,
    message:
        "Measuring the oracle gap of the redactions for {wildcards.task}"
    shell:
        "python -m dejavu gap --params {params.file:q} --task {wildcards.task:q} > {log:q} 2>&1"


rule measure_probes:
    input:
        reads("probes"),
    output:
        **writes("probes"),
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
        **hashes("probes"),
        file=params_file,
    message:
        "Probing what the regenerations need, for {wildcards.task}"
    shell:
        "python -m dejavu probes --params {params.file:q} --task {wildcards.task:q} > {log:q} 2>&1"


rule measure_cost:
    input:
        reads("cost"),
    output:
        **writes("cost"),
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
        **hashes("cost"),
        file=params_file,
    message:
        "Measuring what the methods cost in training, for {wildcards.task}"
    shell:
        "python -m dejavu cost --params {params.file:q} --task {wildcards.task:q} > {log:q} 2>&1"


rule measured:
    input:
        [made(one.verb) for one in MEASUREMENTS],
    message:
        "All is measured"
