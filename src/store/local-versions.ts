/** The versions of one model on this machine: links to files, and under which mark of the far side each was fetched. */
import { createHash, randomUUID } from 'node:crypto'
import { mkdir, readdir, readFile, rename, rm, symlink, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type LocalFiles, STATE_FILE } from './local-files.ts'
import { MODEL_FILE, VERSION_NAME } from './model-store.ts'

interface LocalVersion {
  readonly mark: string
  readonly digest: string
}

export class LocalVersions {
  /** The folder of versions, for model servers. */
  readonly path: string
  readonly #files: LocalFiles
  readonly #versions = new Map<string, LocalVersion>()

  /** `source` is a part of the folder's name: a model that is moved elsewhere begins anew. */
  constructor(files: LocalFiles, { name, source }: { readonly name: string; readonly source: string }) {
    this.#files = files
    const hash = createHash('sha256').update(source).digest('hex').slice(0, 16)
    this.path = join(files.models, `${name}-${hash}`)
  }

  /** Reads what was fetched before, and keeps what is whole. */
  async open(): Promise<void> {
    await mkdir(this.path, { recursive: true, mode: 0o700 })
    const text = await readFile(join(this.path, STATE_FILE), 'utf8').catch(() => '{}')
    const found = versionsOf(text)
    for (const [version, local] of found)
      if (await this.#files.verify(local.digest)) this.#versions.set(version, local)
    for (const name of await readdir(this.path))
      if (VERSION_NAME.test(name) && !this.#versions.has(name)) await this.#unlink(name)
    for (const [version, { digest }] of this.#versions) await this.#link(version, digest)
    await this.#save()
  }

  /** Marks the model as followed, for gateways that share the folder and look for room. */
  async touch(): Promise<void> {
    const now = new Date()
    await utimes(join(this.path, STATE_FILE), now, now)
  }

  /** By version, the mark that it was fetched under. */
  marks(): ReadonlyMap<string, string> {
    return new Map([...this.#versions].map(([version, { mark }]) => [version, mark]))
  }

  get isEmpty(): boolean {
    return this.#versions.size === 0
  }

  /** Puts a file in the place of a version, at once. */
  async put(version: string, local: LocalVersion): Promise<void> {
    await this.#link(version, local.digest)
    this.#versions.set(version, { mark: local.mark, digest: local.digest })
    await this.#save()
  }

  async remove(version: string): Promise<void> {
    this.#versions.delete(version)
    await this.#save()
    await this.#unlink(version)
  }

  async #link(version: string, digest: string): Promise<void> {
    const folder = join(this.path, version)
    await mkdir(folder, { recursive: true, mode: 0o700 })
    const fresh = join(folder, `.${randomUUID()}`)
    await symlink(join('..', '..', '..', 'files', digest), fresh)
    await rename(fresh, join(folder, MODEL_FILE))
  }

  async #unlink(version: string): Promise<void> {
    await rm(join(this.path, version), { recursive: true, force: true })
  }

  async #save(): Promise<void> {
    const fresh = join(this.path, `.${randomUUID()}`)
    await writeFile(fresh, JSON.stringify({ versions: Object.fromEntries(this.#versions) }), { mode: 0o600 })
    await rename(fresh, join(this.path, STATE_FILE))
  }
}

/** Empty where the file is not what this module writes: then everything is fetched again. */
function versionsOf(text: string): [string, LocalVersion][] {
  try {
    const { versions = {} } = JSON.parse(text) as { versions?: Record<string, LocalVersion> }
    return Object.entries(versions).filter(
      ([version, { mark, digest }]) =>
        VERSION_NAME.test(version) && typeof mark === 'string' && /^[0-9a-f]{64}$/.test(digest),
    )
  } catch {
    return []
  }
}
