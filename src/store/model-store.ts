/** What a place where models are kept can be asked: which versions are there, and the bytes of one. */

/** A version directory's name: a number without leading zeros, so that no name means another path, or another's number. */
export const VERSION_NAME = /^(?:0|[1-9]\d{0,17})$/

/** The file in a version directory. */
export const MODEL_FILE = 'model.onnx'

/** The version of a source that is a single file. */
export const SINGLE_VERSION = '1'

export interface StoredVersion {
  readonly version: string
  /** Changes whenever the file may have changed: an ETag, or inode, length and time. */
  readonly mark: string
}

/** The bytes of a version on their way. */
export interface Download {
  /** To be read or closed. Its errors are StoreErrors. */
  readonly body: AsyncIterable<Uint8Array>
  /** Bytes, where the far side says it. */
  readonly length: number | undefined
  /** Hexadecimal digits of its SHA-256, where the far side says it. */
  readonly sha256?: string | undefined
  /** To be called when all bytes are there: rejects with `incomplete` if the file was changed meanwhile. */
  readonly confirm: () => Promise<void>
  readonly close: () => void
}

export interface ModelStore {
  /**
   * The versions that are there, the highest `maxVersions` of them, highest first. `known`: the marks of what is here
   * already, by version. Rejects with a StoreError while the store is away.
   */
  versions(known: ReadonlyMap<string, string>, signal: AbortSignal): Promise<StoredVersion[]>
  /** Rejects with `incomplete` where the file is still being written or is not the one of the mark. */
  open(stored: StoredVersion, signal: AbortSignal): Promise<Download>
  close(): Promise<void>
}

/** The names that are versions, highest first, at most `max`. Whatever else a listing holds is left out. */
export function versionNames(names: Iterable<string>, max: number): string[] {
  const versions = new Set([...names].filter((name) => VERSION_NAME.test(name)))
  return [...versions].toSorted((a, b) => (BigInt(a) < BigInt(b) ? 1 : -1)).slice(0, max)
}
