/**
 * Models in HDFS. A file is fetched only when it is whole: HDFS gives no checksum of a file that a writer has open, and
 * a name that `hadoop fs -put` writes under ends in `._COPYING_`, which is no model's. Where a server keeps no checksums
 * at all, a file must be the same in two looks.
 */
import { StoreError } from './error.ts'
import type { StoreHttp } from './http.ts'
import {
  type Download,
  MODEL_FILE,
  type ModelStore,
  SINGLE_VERSION,
  type StoredVersion,
  versionNames,
} from './model-store.ts'
import { WebHdfs, type WebHdfsOptions } from './webhdfs.ts'
import type { HdfsStatus } from './webhdfs-answers.ts'

export interface HdfsStoreOptions extends WebHdfsOptions {
  /** Of a model file, or of a directory of versions. */
  readonly path: string
  readonly maxVersions: number
  readonly http: StoreHttp
}

export class HdfsStore implements ModelStore {
  readonly #options: HdfsStoreOptions
  readonly #fs: WebHdfs
  /** The paths of the versions, from the last look. */
  #paths = new Map<string, string>()
  /** The marks of the look before the last. */
  #earlier: ReadonlyMap<string, string> = new Map()
  #latest: ReadonlyMap<string, string> = new Map()

  constructor(options: HdfsStoreOptions) {
    this.#options = options
    this.#fs = new WebHdfs(options)
  }

  async versions(_known: ReadonlyMap<string, string>, signal: AbortSignal): Promise<StoredVersion[]> {
    const found = await this.#look(signal)
    this.#earlier = this.#latest
    this.#latest = new Map(found.map(({ version, mark }) => [version, mark]))
    return found
  }

  async open({ version, mark }: StoredVersion, signal: AbortSignal): Promise<Download> {
    const path = this.#paths.get(version)
    if (path === undefined) throw new StoreError('missing', `version ${version} was not listed`)
    const checksum = await this.#fs.checksum(path, { signal })
    if (!checksum && this.#earlier.get(version) !== mark)
      throw new StoreError('incomplete', `${path} may still be written: it was not the same in two looks`)
    const same = async (): Promise<HdfsStatus> => {
      const status = await this.#fs.status(path, { signal })
      if (!status || markOf(status) !== mark) throw new StoreError('incomplete', `${path} has changed`)
      return status
    }
    const { length } = await same()
    const answer = await this.#fs.open(path, { signal })
    return {
      body: answer.body,
      length,
      confirm: async () => {
        await same()
        const after = checksum && (await this.#fs.checksum(path, { signal }))
        if (after?.bytes !== checksum?.bytes) throw new StoreError('incomplete', `${path} has changed`)
      },
      close: () => answer.close(),
    }
  }

  close(): Promise<void> {
    return this.#options.http.close()
  }

  async #look(signal: AbortSignal): Promise<StoredVersion[]> {
    const { path, maxVersions } = this.#options
    const found = await this.#fs.list(path, { signal }).catch(emptyWhenMissing)
    const [first] = found
    // A file lists itself, without a name.
    if (first?.type === 'FILE' && first.name === '') {
      this.#paths = new Map([[SINGLE_VERSION, path]])
      return first.length > 0 ? [{ version: SINGLE_VERSION, mark: markOf(first) }] : []
    }
    const directories = found.filter(({ type }) => type === 'DIRECTORY').map(({ name }) => name)
    const paths = new Map<string, string>()
    const versions: StoredVersion[] = []
    for (const version of versionNames(directories, maxVersions)) {
      const file = `${path}/${version}/${MODEL_FILE}`
      const status = await this.#fs.status(file, { signal })
      // An empty file is one that a writer has just begun.
      if (status?.type !== 'FILE' || status.length === 0) continue
      paths.set(version, file)
      versions.push({ version, mark: markOf(status) })
    }
    this.#paths = paths
    return versions
  }
}

const markOf = ({ fileId, length, modified }: HdfsStatus): string =>
  [fileId ?? '', length, modified].join(':')

function emptyWhenMissing(error: unknown): HdfsStatus[] {
  if (error instanceof StoreError && error.fault === 'missing') return []
  throw error
}
