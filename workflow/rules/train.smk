# One job per run of the matrix: tasks x networks x methods x seeds.


rule train:
    input:
        scenes="data/{study}/train.npy",
        manifest="data/{study}/manifest.json",
    output:
        checkpoint="results/{study}/checkpoints/{task}/{network}/{method}/seed{seed}.safetensors",
        log="results/{study}/checkpoints/{task}/{network}/{method}/seed{seed}.jsonl",
    log:
        "logs/{study}/train/{task}/{network}/{method}/seed{seed}.log",
    benchmark:
        "logs/{study}/train/{task}/{network}/{method}/seed{seed}.tsv"
    conda:
        ENVIRONMENT
    threads: LAYOUT.params.train.threads
    resources:
        mem_mb=2000,
        gpu=GPU,
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
