// Every scan of a folder, super-resolved (Nextflow, DSL 2).
//
//   nextflow run main.nf --scans 'scans/*.nii.gz' --results sharper --target '--spacing 1'

params.scans = 'scans/*.nii.gz'
params.results = 'sharper'
params.target = ''        // thick slices alone where none is named
params.model = 'light'

process UPSAMPLE {
    tag "$name"
    cpus 2
    memory '4 GB'
    publishDir params.results, mode: 'copy'

    input:
    // With the JSON file that dcm2niix left beside a scan: thickness and distance of slices.
    tuple val(name), path(files)

    output:
    tuple val(name), path("${name}_SR.nii.gz"), path("${name}_SR.json")

    script:
    """
    arssr upsample '${name}.nii.gz' -o '${name}_SR.nii.gz' --model '${params.model}' ${params.target} \\
        --threads ${task.cpus} --memory ${task.memory.toGiga()}GB
    """
}

workflow {
    scans = Channel.fromPath(params.scans).map { scan ->
        def name = scan.name - '.nii.gz'
        def said = scan.resolveSibling("${name}.json")
        tuple(name, said.exists() ? [scan, said] : [scan])
    }
    UPSAMPLE(scans)
}
