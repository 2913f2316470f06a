"""The whole study: data, training, evaluation, tables, figures, report.

`snakemake --cores all` makes everything of params/default.yaml; `--configfile params/STUDY.yaml`
makes another study. A study file is complete: it replaces the default, nothing is merged.
"""

from snakemake.utils import min_version

min_version("9.0")


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/report.smk"


onstart:
    refuse_second_run()
    tell_of_guessed_gpu()
    tell_of_unknown_commit()


onsuccess:
    announce(f"done: {', '.join(what_was_asked())}")


onerror:
    announce(why_it_ended())


rule all:
    default_target: True
    input:
        rules.prepared.input,
        rules.trained.input,
        rules.measured.input,
        rules.reported.input,
    message:
        "All of the study is made"
