# Prepared data: one array file per split and a manifest with their checksums.


rule prepare_rooms:
    output:
        splits=expand("data/{{study}}/{split}.npy", split=["train", "val", "test"]),
        manifest="data/{study}/manifest.json",
    log:
        "logs/{study}/prepare_rooms.log",
    benchmark:
        "logs/{study}/prepare_rooms.tsv"
    conda:
        ENVIRONMENT
    threads: 1
    resources:
        mem_mb=1000,
    params:
        file=PARAMS_FILE,
        data=data_hash(LAYOUT.params),
    message:
        "Rendering the rooms of study {wildcards.study}"
    shell:
        "python -m dejavu rooms --params {params.file} > {log} 2>&1"


rule prepared:
    input:
        expand(rules.prepare_rooms.output, study=STUDY),
