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
        file=params_file,
    message:
        "Training the image-text pair that stands in for CLIP"
    shell:
        "python -m dejavu text-pair --params {params.file:q} > {log:q} 2>&1"


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
        file=params_file,
    message:
        "Training {wildcards.task}, {wildcards.network}, {wildcards.method}, seed {wildcards.seed}"
    shell:
        "python -m dejavu train --params {params.file:q} --expect {params.run:q}"
        " --task {wildcards.task:q} --network {wildcards.network:q} --method {wildcards.method:q}"
        " --seed {wildcards.seed:q} > {log:q} 2>&1"


rule trained:
    input:
        made("train"),
    message:
        "All runs are trained"
