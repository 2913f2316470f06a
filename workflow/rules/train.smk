# One job per run of the matrix: tasks x networks x methods x seeds; and, where a method is
# supervised by text, the image-text pair that stands in for CLIP.


rule train_text_pair:
    input:
        train=data_files("train"),
        val=data_files("val"),
        manifest="data/{study}/manifest.json",
    output:
        checkpoint="results/{study}/checkpoints/text_pair.safetensors",
        metrics="results/{study}/metrics/text_pair.json",
        record="results/{study}/records/text_pair.json",
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
        file=PARAMS_FILE,
        pair=text_pair_hash(LAYOUT.params),
    message:
        "Training the image-text pair that stands in for CLIP"
    shell:
        "python -m dejavu text-pair --params {params.file} > {log} 2>&1"


rule train:
    input:
        lambda w: LAYOUT.text_pair if needs_text_pair(LAYOUT.params.methods[w.method]) else [],
        scenes=data_files("train"),
        manifest="data/{study}/manifest.json",
    output:
        checkpoint="results/{study}/checkpoints/{task}/{network}/{method}/seed{seed}.safetensors",
        log="results/{study}/checkpoints/{task}/{network}/{method}/seed{seed}.jsonl",
        record="results/{study}/records/train/{task}/{network}/{method}/seed{seed}.json",
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
        file=PARAMS_FILE,
        run=lambda w: run_of(w).hash,
    message:
        "Training {wildcards.task}, {wildcards.network}, {wildcards.method}, seed {wildcards.seed}"
    shell:
        "python -m dejavu train --params {params.file} --expect {params.run}"
        " --task {wildcards.task} --network {wildcards.network} --method {wildcards.method}"
        " --seed {wildcards.seed} > {log} 2>&1"


rule trained:
    input:
        [LAYOUT.checkpoint(run) for run in LAYOUT.runs()],
        [LAYOUT.log(run) for run in LAYOUT.runs()],
        [LAYOUT.record("train", run) for run in LAYOUT.runs()],
