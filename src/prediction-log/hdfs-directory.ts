/** A directory of HDFS as the destination of log files; it is made with the first of them. */
import { createReadStream } from 'node:fs'
import { basename } from 'node:path'
import type { WebHdfs } from '../store/webhdfs.ts'
import type { FinishedFile, RemoteDirectory } from './destination.ts'
import { nextName } from './publish.ts'

export interface HdfsDirectoryParts {
  /** As in the settings. */
  readonly url: string
  /** Absolute. */
  readonly path: string
  readonly hdfs: WebHdfs
  readonly close: () => Promise<void>
}

const MAX_NAMES = 1000

export function createHdfsDirectory({ url, path, hdfs, close }: HdfsDirectoryParts): RemoteDirectory {
  const at = (name: string) => `${path === '/' ? '' : path}/${name}`
  return { url, put, close }

  /** Written under its hidden name, which is this process's own, and then renamed. */
  async function put(file: FinishedFile, signal: AbortSignal): Promise<void> {
    const hidden = at(basename(file.path))
    if (await isThere(file, hidden, signal)) return
    await hdfs.create(hidden, createReadStream(file.path), { overwrite: true, signal })
    let name = file.name
    for (let i = 0; i < MAX_NAMES; i++) {
      if (await hdfs.rename(hidden, at(name), { signal })) return
      name = nextName(name)
    }
    throw new Error(`${url} has ${MAX_NAMES} files whose names begin as that of ${file.name}`)
  }

  /** Whether an earlier attempt has done it, and its answer was lost: the name is there, and the hidden one is not. */
  async function isThere(
    { name, bytes }: FinishedFile,
    hidden: string,
    signal: AbortSignal,
  ): Promise<boolean> {
    const found = await hdfs.status(at(name), { signal })
    if (found?.length !== bytes) return false
    return (await hdfs.status(hidden, { signal })) === undefined
  }
}
