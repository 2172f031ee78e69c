/** A store of models in this process: a small real one, for tests of what follows a store. */
import { createHash } from 'node:crypto'
import { StoreError } from '../../src/store/error.ts'
import type { Download, ModelStore, StoredVersion } from '../../src/store/model-store.ts'
import { versionNames } from '../../src/store/model-store.ts'

export class MemoryStore implements ModelStore {
  readonly #versions = new Map<string, Buffer>()
  /** What `versions` and `open` reject with; undefined: they answer. */
  away: StoreError | undefined
  /** What a download says of itself in place of the truth. */
  says: Partial<Download> = {}
  /** Marks and bytes that are listed, but still being written. */
  readonly unfinished = new Set<string>()
  opened = 0
  isClosed = false

  put(version: string, text: string): void {
    this.#versions.set(version, Buffer.from(text))
  }

  remove(version: string): void {
    this.#versions.delete(version)
  }

  async versions(): Promise<StoredVersion[]> {
    if (this.away) throw this.away
    return versionNames(this.#versions.keys(), 16).map((version) => ({ version, mark: this.#mark(version) }))
  }

  async open({ version }: StoredVersion): Promise<Download> {
    this.opened++
    if (this.away) throw this.away
    if (this.unfinished.has(version)) throw new StoreError('incomplete', `${version} is being written`)
    const bytes = this.#versions.get(version) ?? Buffer.alloc(0)
    async function* body(): AsyncGenerator<Uint8Array> {
      for (let at = 0; at < bytes.length; at += 4) yield bytes.subarray(at, at + 4)
    }
    return {
      body: body(),
      length: bytes.length,
      confirm: () => Promise.resolve(),
      close: () => {},
      ...this.says,
    }
  }

  async close(): Promise<void> {
    this.isClosed = true
  }

  #mark(version: string): string {
    return createHash('md5')
      .update(this.#versions.get(version) ?? '')
      .digest('hex')
  }
}
