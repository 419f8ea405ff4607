/** From what is dropped or chosen to scans. */

// What ends like these is a scan by itself; all else is taken for parts of a DICOM series.
const ALONE = /\.(nii|nii\.gz|nii\.zst|mgh|mgz|nrrd|nhdr|mha|mhd|zip)$/i;
const JSON_FILE = /\.json$/i;
const ASIDE = /(^\.|^DICOMDIR$|\.(txt|md|html?|pdf|csv|tsv|bval|bvec)$)/i;

/**
 * The scans among files: a file each, with the JSON file that dcm2niix left beside it; or all files
 * of a DICOM folder. Those of folders carry `webkitRelativePath`.
 */
export function scansAmong(files: readonly File[]): File[][] {
  const described = new Map<string, File>();
  const alone: File[][] = [];
  const series = new Map<string, File[]>();
  for (const file of files) {
    if (JSON_FILE.test(file.name)) described.set(stemOf(file, JSON_FILE), file);
    else if (ALONE.test(file.name)) alone.push([file]);
    else if (!ASIDE.test(file.name)) {
      const folder = file.webkitRelativePath.split('/')[0];
      series.set(folder, [...(series.get(folder) ?? []), file]);
    }
  }
  for (const scan of alone) {
    const beside = described.get(stemOf(scan[0], ALONE));
    if (beside) scan.push(beside);
  }
  const found = [...alone, ...series.values()];
  if (!found.length) throw new Error('There is no scan among these files.');
  return found;
}

const stemOf = (file: File, suffix: RegExp): string =>
  (file.webkitRelativePath || file.name).replace(suffix, '');

/** All files that were dropped, those in folders too. */
export async function filesOf(dropped: DataTransfer): Promise<File[]> {
  const entries = [...dropped.items].map((item) => item.webkitGetAsEntry());
  const loose = [...dropped.files];
  const found = await Promise.all(
    entries.map((entry, n) => (entry ? filesIn(entry) : loose.slice(n, n + 1))),
  );
  return found.flat();
}

async function filesIn(entry: FileSystemEntry): Promise<File[]> {
  if (entry.isFile) {
    const file = await new Promise<File>((take, fail) =>
      (entry as FileSystemFileEntry).file(take, fail),
    );
    const path = entry.fullPath.slice(1);
    if (path.includes('/')) Object.defineProperty(file, 'webkitRelativePath', { value: path });
    return [file];
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  const found: File[] = [];
  for (;;) {
    const some = await new Promise<FileSystemEntry[]>((take, fail) =>
      reader.readEntries(take, fail),
    );
    if (!some.length) return found; // it gives at most 100 at once
    for (const each of some) found.push(...(await filesIn(each)));
  }
}
