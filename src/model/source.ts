/**
 * Finds the files of a model's source: one file, or a directory of numbered versions in TensorFlow Serving's layout.
 * Listing is cheap (stat and readdir) and done every second; files are read when something changed.
 */
import { createHash } from 'node:crypto'
import { readdir, readFile, stat } from 'node:fs/promises'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ModelError } from './error.ts'

export interface VersionFile {
  /** Digits; `1` where the source is a single file. */
  readonly version: string
  readonly file: string
  /** Files that are a part of the model as well. */
  readonly companions: readonly string[]
  /** Changes whenever one of the files may have changed: inode, size and both times, or why they cannot be read. */
  readonly mark: string
}

/** Which files a source is looked through for. */
export interface FilesOfKind {
  /** The extension of model files, with the dot. */
  readonly extension: string
  /** The paths of the files that belong to a model file. */
  readonly companions?: ((file: string) => Promise<readonly string[]>) | undefined
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

async function versionFile(
  file: string,
  version: string,
  kind: FilesOfKind,
): Promise<VersionFile | undefined> {
  const own = await markOf(file)
  if (own === undefined) return undefined
  const companions = (await kind.companions?.(file)) ?? []
  const marks = await Promise.all(companions.map(markOf))
  return { version, file, companions, mark: [own, ...marks].join() }
}

/** Undefined: it is no file. */
async function markOf(file: string): Promise<string | undefined> {
  const found = await statOf(file)
  return found?.isFile() ? [found.ino, found.size, found.mtimeNs, found.ctimeNs].join(':') : undefined
}

/**
 * The versions at `path`, highest first; empty when there are none. A version directory without a model file is left
 * out, since the file may be about to be written.
 */
export async function versionsAt(path: string, kind: FilesOfKind): Promise<VersionFile[]> {
  const found = await statOf(path)
  if (!found?.isDirectory()) {
    const single = await versionFile(path, '1', kind)
    return single ? [single] : []
  }
  const names = (await readdir(path)).filter((name) => /^\d{1,18}$/.test(name))
  names.sort((a, b) => Number(b) - Number(a))
  const versions: VersionFile[] = []
  for (const name of names) {
    const version = await versionIn(join(path, name), name, kind)
    if (version) versions.push(version)
  }
  return versions
}

/** What cannot be looked at is a version, too: it does not hide the others, and loading it says why. */
async function versionIn(
  directory: string,
  version: string,
  kind: FilesOfKind,
): Promise<VersionFile | undefined> {
  let file: string | undefined
  try {
    file = await modelFile(directory, kind.extension)
    return file === undefined ? undefined : await versionFile(file, version, kind)
  } catch (error) {
    return { version, file: file ?? directory, companions: [], mark: String(error) }
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
  /** By path. */
  readonly companions: ReadonlyMap<string, Uint8Array>
  /** `sha256:` and 64 hexadecimal digits, of the model file, its companions and settings: evidence of which deployment answers. */
  readonly digest: string
}

/** `settings`: what else the answers depend on. */
export async function readModel(
  { file, companions: paths }: VersionFile,
  settings?: object,
): Promise<ModelBytes> {
  const bytes = await readFile(file)
  const companions = new Map<string, Uint8Array>()
  for (const path of paths) companions.set(path, await readFile(path))
  const own = sha256(bytes)
  // Of a file alone it is what `sha256sum` says of it.
  if (settings === undefined) return { bytes, companions, digest: `sha256:${own}` }
  const others = [...companions].map(([path, each]) => [relative(dirname(file), path), sha256(each)])
  const digest = sha256(JSON.stringify([own, others, settings]))
  return { bytes, companions, digest: `sha256:${digest}` }
}

const sha256 = (data: Uint8Array | string): string => createHash('sha256').update(data).digest('hex')
