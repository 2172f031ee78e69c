/**
 * The folder on this machine where fetched models are kept:
 *
 *   files/DIGEST                         a model file, by its SHA-256
 *   models/NAME-HASH/VERSION/model.onnx  a link to one, in the layout that model servers read
 *   models/NAME-HASH/state.json          which mark of the far side each version was fetched under
 *   partial/UUID                         a download on its way
 *
 * What appears in files/ and models/ appears by a rename, whole and checked, so a process that ends at any moment leaves
 * nothing half-written. Several gateways may share the folder: each removes only what no link leads to.
 */
import { createHash, randomUUID } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, open, readdir, readlink, rename, rm, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { StoreError } from './error.ts'
import type { Download } from './model-store.ts'

export interface LocalFilesOptions {
  readonly dir: string
  /** Most bytes in files/. */
  readonly maxBytes: number
  readonly maxFileBytes: number
}

export interface LocalFile {
  /** 64 hexadecimal digits. */
  readonly digest: string
  readonly bytes: number
}

const DIGEST = /^[0-9a-f]{64}$/
/** What is younger may belong to another gateway that is about to link it, or is still downloading. */
const GRACE_MS = 60 * 60 * 1000
/** A model that is followed is touched at each look. */
const STALE_MS = 7 * 24 * 60 * 60 * 1000
/** In a model's folder. */
export const STATE_FILE = 'state.json'

export class LocalFiles {
  readonly #options: LocalFilesOptions
  /** Bytes of downloads on their way, which count against the bound. */
  #arriving = 0

  private constructor(options: LocalFilesOptions) {
    this.#options = options
  }

  /** Rejects with an Error that names the setting where the folder cannot be made. */
  static async open(options: LocalFilesOptions): Promise<LocalFiles> {
    const files = new LocalFiles(options)
    try {
      for (const name of ['files', 'models', 'partial'])
        await mkdir(join(options.dir, name), { recursive: true, mode: 0o700 })
    } catch (error) {
      throw new Error(`stores.dir: no folder for models can be made: ${(error as Error).message}`, {
        cause: error,
      })
    }
    await files.#sweepPartial()
    return files
  }

  /** Where the versions of models are linked. */
  get models(): string {
    return join(this.#options.dir, 'models')
  }

  pathOf(digest: string): string {
    return join(this.#options.dir, 'files', digest)
  }

  /** Whether the file is there and its bytes are those of its name. A damaged one is removed. */
  async verify(digest: string): Promise<boolean> {
    const path = this.pathOf(digest)
    try {
      const hash = createHash('sha256')
      for await (const part of createReadStream(path)) hash.update(part as Buffer)
      if (hash.digest('hex') === digest) return true
    } catch {
      return false
    }
    await rm(path, { force: true })
    return false
  }

  /**
   * Writes a download to the disk and takes it over once it is whole: as long as it should be, with the digest that the
   * far side gave, and confirmed. Rejects with a StoreError; then nothing is left.
   */
  async add(download: Download, progress: (bytes: number) => void): Promise<LocalFile> {
    const { length, sha256 } = download
    const partial = join(this.#options.dir, 'partial', randomUUID())
    try {
      await this.#makeRoom(length ?? 0)
      const { digest, bytes } = await this.#write(download, partial, progress)
      if (length !== undefined && bytes !== length)
        throw new StoreError('incomplete', `it has ${bytes} bytes in place of ${length}`)
      if (sha256 !== undefined && sha256 !== digest)
        throw new StoreError('invalid', `its SHA-256 is ${digest} in place of ${sha256}`)
      await download.confirm()
      await rename(partial, this.pathOf(digest))
      return { digest, bytes }
    } finally {
      download.close()
      await rm(partial, { force: true })
    }
  }

  /** Removes files that no version links to, except young ones. */
  async sweep(): Promise<void> {
    const used = await this.#linked()
    for (const { digest, mtimeMs } of await this.#present()) {
      if (!used.has(digest) && Date.now() - mtimeMs > GRACE_MS) await rm(this.pathOf(digest), { force: true })
    }
  }

  async #write({ body }: Download, partial: string, progress: (bytes: number) => void): Promise<LocalFile> {
    const { maxFileBytes } = this.#options
    const hash = createHash('sha256')
    let bytes = 0
    await using file = await open(partial, 'wx', 0o600)
    try {
      for await (const part of body) {
        bytes += part.length
        this.#arriving += part.length
        if (bytes > maxFileBytes)
          throw new StoreError('tooLarge', `it is longer than stores.maxModelSize, ${maxFileBytes} bytes`)
        hash.update(part)
        await file.writeFile(part)
        progress(bytes)
      }
      // The rename must not come to the disk before the bytes.
      await file.sync()
    } finally {
      this.#arriving -= bytes
    }
    return { digest: hash.digest('hex'), bytes }
  }

  /** Removes what nothing uses, the oldest first, until there is room. Throws a StoreError where there is not enough. */
  async #makeRoom(bytes: number): Promise<void> {
    const { maxBytes, maxFileBytes } = this.#options
    if (bytes > maxFileBytes)
      throw new StoreError('tooLarge', `${bytes} bytes are more than stores.maxModelSize, ${maxFileBytes}`)
    const room = maxBytes - this.#arriving - bytes
    if ((await this.#size()) <= room) return
    await this.#dropUnused(room)
    if ((await this.#size()) <= room) return
    await this.#dropStale()
    await this.#dropUnused(room)
    if ((await this.#size()) > room)
      throw new StoreError('tooLarge', `no room for ${bytes} bytes: stores.maxSize is ${maxBytes}`)
  }

  async #size(): Promise<number> {
    return (await this.#present()).reduce((sum, { size }) => sum + size, 0)
  }

  /** Removes files that no version links to, the oldest first, until all are within `maxBytes`. */
  async #dropUnused(maxBytes: number): Promise<void> {
    const present = await this.#present()
    const used = await this.#linked()
    const unused = present.filter(({ digest }) => !used.has(digest)).toSorted((a, b) => a.mtimeMs - b.mtimeMs)
    let total = present.reduce((sum, { size }) => sum + size, 0)
    for (const { digest, size } of unused) {
      if (total <= maxBytes) return
      await rm(this.pathOf(digest), { force: true })
      total -= size
    }
  }

  /** Removes the versions of models that no gateway follows any more. */
  async #dropStale(): Promise<void> {
    for (const model of await readdir(this.models)) {
      const folder = join(this.models, model)
      const status = await stat(join(folder, STATE_FILE)).catch(() => undefined)
      if (status && Date.now() - status.mtimeMs > STALE_MS) await rm(folder, { recursive: true, force: true })
    }
  }

  async #present(): Promise<{ digest: string; size: number; mtimeMs: number }[]> {
    const names = await readdir(join(this.#options.dir, 'files'))
    const found = await Promise.all(
      names
        .filter((name) => DIGEST.test(name))
        .map(async (digest) => {
          const status = await stat(this.pathOf(digest)).catch(() => undefined)
          return status && { digest, size: status.size, mtimeMs: status.mtimeMs }
        }),
    )
    return found.filter((each) => each !== undefined)
  }

  /** The digests that a version of any model links to. */
  async #linked(): Promise<Set<string>> {
    const used = new Set<string>()
    for (const model of await readdir(this.models)) {
      for (const version of await readdir(join(this.models, model)).catch(() => [])) {
        const link = join(this.models, model, version, 'model.onnx')
        const target = await readlink(link).catch(() => undefined)
        if (target !== undefined) used.add(basename(target))
      }
    }
    return used
  }

  /** Removes what downloads that were cut off have left. */
  async #sweepPartial(): Promise<void> {
    const folder = join(this.#options.dir, 'partial')
    for (const name of await readdir(folder)) {
      const status = await stat(join(folder, name)).catch(() => undefined)
      if (status && Date.now() - status.mtimeMs > GRACE_MS) await rm(join(folder, name), { force: true })
    }
  }
}
