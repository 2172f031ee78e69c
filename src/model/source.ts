/**
 * Finds the files of a model's source: one file, or a directory of numbered versions in TensorFlow Serving's layout.
 * Listing is cheap (stat and readdir) and done every second; files are read when something changed.
 */
import { createHash } from 'node:crypto'
import { readdir, readFile, stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ModelError } from './error.ts'

export interface VersionFile {
  /** Digits; `1` where the source is a single file. */
  readonly version: string
  readonly file: string
  /** Changes whenever the file may have changed: inode, size and both times, or why they cannot be read. */
  readonly mark: string
}

/** A path, or a `file:` URI, as a path. Throws a 400 for another scheme. */
export function pathOf(source: string): string {
  if (source.startsWith('file:')) return fileURLToPath(source)
  const scheme = /^([a-z][a-z0-9+.-]+):\/\//i.exec(source)?.[1]
  if (scheme)
    throw new ModelError(
      400,
      `"${source}": ${scheme} sources are not read by a model server; give a path or a file: URI, or let a gateway fetch it (models[].source)`,
    )
  return resolve(source)
}

const isMissing = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR')

const statOf = (path: string) =>
  stat(path, { bigint: true }).catch((error: unknown) => {
    if (isMissing(error)) return undefined
    throw error
  })

async function versionFile(file: string, version: string): Promise<VersionFile | undefined> {
  const found = await statOf(file)
  if (!found?.isFile()) return undefined
  return { version, file, mark: [found.ino, found.size, found.mtimeNs, found.ctimeNs].join(':') }
}

/**
 * The versions at `path`, highest first; empty when there are none. A version directory without a model file is left
 * out, since the file may be about to be written.
 */
export async function versionsAt(path: string, extension: string): Promise<VersionFile[]> {
  const found = await statOf(path)
  if (!found?.isDirectory()) {
    const single = await versionFile(path, '1')
    return single ? [single] : []
  }
  const names = (await readdir(path)).filter((name) => /^\d{1,18}$/.test(name))
  names.sort((a, b) => Number(b) - Number(a))
  const versions: VersionFile[] = []
  for (const name of names) {
    const version = await versionIn(join(path, name), name, extension)
    if (version) versions.push(version)
  }
  return versions
}

/** What cannot be looked at is a version, too: it does not hide the others, and loading it says why. */
async function versionIn(
  directory: string,
  version: string,
  extension: string,
): Promise<VersionFile | undefined> {
  let file: string | undefined
  try {
    file = await modelFile(directory, extension)
    return file === undefined ? undefined : await versionFile(file, version)
  } catch (error) {
    return { version, file: file ?? directory, mark: String(error) }
  }
}

/** `model.onnx`, or the only file with the extension. */
async function modelFile(directory: string, extension: string): Promise<string | undefined> {
  const found = await readdir(directory).catch((error: unknown) => {
    if (isMissing(error)) return []
    throw error
  })
  const files = found.filter((name) => name.endsWith(extension))
  const name =
    files.find((each) => each === `model${extension}`) ?? (files.length === 1 ? files[0] : undefined)
  return name && join(directory, name)
}

export interface ModelBytes {
  readonly bytes: Uint8Array
  /** `sha256:` and 64 hexadecimal digits: evidence of which deployment answers. */
  readonly digest: string
}

export async function readModel(file: string): Promise<ModelBytes> {
  const bytes = await readFile(file)
  return { bytes, digest: `sha256:${createHash('sha256').update(bytes).digest('hex')}` }
}
