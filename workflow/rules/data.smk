# The data: rendered rooms, one array file per split; or a data set that is read where it was
# unpacked, of which an index per split is kept. Either way a manifest holds the checksums.


if IS_ROOMS:

    rule prepare_rooms:
        input:
            reads("data"),
        output:
            **writes("data"),
        log:
            "logs/{study}/prepare_rooms.log",
        benchmark:
            "logs/{study}/prepare_rooms.tsv"
        conda:
            ENVIRONMENT
        threads: 1
        resources:
            mem_mb=2000,
        params:
            **hashes("data"),
            file=params_file,
        message:
            "Rendering the rooms of study {wildcards.study}"
        shell:
            "python -m dejavu rooms --params {params.file:q} > {log:q} 2>&1"

else:

    # By hand, before anything else: snakemake downloaded --configfile FILE --config root=DIR
    rule download_data:
        output:
            temp(touch("data/raw/{name}.downloaded")),
        log:
            "logs/{name}/download_data.log",
        benchmark:
            "logs/{name}/download_data.tsv"
        wildcard_constraints:
            name=LAYOUT.params.data.name,
        conda:
            ENVIRONMENT
        threads: 1
        resources:
            mem_mb=1000,
        message:
            "Downloading {wildcards.name}"
        shell:
            "python -m dejavu data download {wildcards.name:q} > {log:q} 2>&1"

    rule downloaded:
        input:
            f"data/raw/{LAYOUT.params.data.name}.downloaded",
        message:
            "The data set is downloaded"

    # Its folder is no param: what is in it is known by the checksums that this rule writes.
    rule check_data:
        input:
            reads("data"),
        output:
            **writes("data"),
        log:
            "logs/{study}/check_data.log",
        benchmark:
            "logs/{study}/check_data.tsv"
        conda:
            ENVIRONMENT
        # As many as there are, up to that; a cluster needs a number.
        threads: 8
        resources:
            mem_mb=memory_mb(2000),
        params:
            **hashes("data"),
            file=params_file,
            name=LAYOUT.params.data.name,
        message:
            "Checking the data set of study {wildcards.study}"
        shell:
            "python -m dejavu data check {params.name:q} --params {params.file:q} --jobs {threads:q}"
            " > {log:q} 2>&1"

    # A decoded copy of the images, where the params ask for one.
    rule cache_data:
        input:
            reads("cache"),
        output:
            **writes("cache"),
        log:
            "logs/{study}/cache_data/{split}.log",
        benchmark:
            "logs/{study}/cache_data/{split}.tsv"
        conda:
            ENVIRONMENT
        threads: 1
        resources:
            mem_mb=memory_mb(2000),
        params:
            **hashes("cache"),
            file=params_file,
        message:
            "Decoding the {wildcards.split} images of study {wildcards.study}"
        shell:
            "python -m dejavu data cache --split {wildcards.split:q} --params {params.file:q}"
            " > {log:q} 2>&1"


rule prepared:
    input:
        made("data"),
        made("cache"),
    message:
        "The data is prepared"
