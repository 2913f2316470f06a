# One job per run of the matrix: tasks x networks x methods x seeds; and, where a method is
# supervised by text, the image-text pair that stands in for CLIP.


rule train_text_pair:
    input:
        reads("text_pair"),
    output:
        **writes("text_pair"),
    log:
        "logs/{study}/train_text_pair.log",
    benchmark:
        "logs/{study}/train_text_pair.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=memory_mb(2000),
    params:
        **hashes("text_pair"),
        file=PARAMS_FILE,
    message:
        "Training the image-text pair that stands in for CLIP"
    shell:
        "python -m dejavu text-pair --params {params.file} > {log} 2>&1"


rule train:
    input:
        reads("train"),
    output:
        **writes("train"),
    log:
        "logs/{study}/train/{task}/{network}/{method}/seed{seed}.log",
    benchmark:
        "logs/{study}/train/{task}/{network}/{method}/seed{seed}.tsv"
    conda:
        ENVIRONMENT
    threads: LAYOUT.params.train.threads * LAYOUT.params.train.processes
    resources:
        mem_mb=memory_mb(2000) * LAYOUT.params.train.processes,
        gpu=GPU * LAYOUT.params.train.processes,
    params:
        **hashes("train"),
        file=PARAMS_FILE,
    message:
        "Training {wildcards.task}, {wildcards.network}, {wildcards.method}, seed {wildcards.seed}"
    shell:
        "python -m dejavu train --params {params.file} --expect {params.run}"
        " --task {wildcards.task} --network {wildcards.network} --method {wildcards.method}"
        " --seed {wildcards.seed} > {log} 2>&1"


rule trained:
    input:
        made("train"),
