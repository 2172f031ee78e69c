/**
 * The models that this process serves, by name and version, updated when their files change.
 *
 * A changed file or a new version directory is loaded and warmed up before the old model is released, and calls that
 * run on the old one finish on it. If a file does not load, the old model continues to serve.
 */
import type { InferenceBatcherOptions } from './batcher.ts'
import type { Embedder } from './embedding/embedder.ts'
import { companionFiles } from './embedding/files.ts'
import type { EmbeddingOptions } from './embedding/options.ts'
import { ModelError, reasonOf } from './error.ts'
import { openModel, type Runner } from './open-model.ts'
import type { Runtime, TensorSpec } from './runtime.ts'
import { type FilesOfKind, pathOf, readModel, type VersionFile, versionsAt } from './source.ts'

export interface ModelSource {
  readonly name: string
  /** A path or `file:` URI of a model file, or of a directory whose sub-directories are numeric versions. */
  readonly source: string
  /** The model is a sentence encoder with its tokenizer. */
  readonly embedding?: EmbeddingOptions | undefined
}

/** One version of one model, ready to run. */
export interface Served {
  readonly name: string
  readonly version: string
  /** `sha256:…` of the files. */
  readonly digest: string
  readonly inputs: readonly TensorSpec[]
  readonly outputs: readonly TensorSpec[]
  readonly runner: Runner
  /** Of an embedding model: the runner, which takes texts and tokens as well. */
  readonly embedder?: Embedder
}

export interface RepositoryEvents {
  /** A file was replaced, or a version was added or removed. */
  readonly onChange?: () => void
  readonly onProblem?: (model: string, reason: string) => void
}

export interface RepositoryOptions extends InferenceBatcherOptions, RepositoryEvents {
  readonly runtime: Runtime
  readonly sources: readonly ModelSource[]
  /** Interval at which the files are checked. */
  readonly pollMs: number
}

interface LoadedVersion extends Served {
  readonly mark: string
}

interface ModelVersions {
  readonly name: string
  readonly path: string
  readonly embedding: EmbeddingOptions | undefined
  /** Highest version first; empty until the first load. */
  versions: readonly LoadedVersion[]
  /** By version, the mark of a file that did not load, so that it is tried and reported only once. */
  readonly bad: Map<string, string>
  /** Why the source cannot be read, so that it is reported only once. */
  problem: string | undefined
}

export class Repository {
  readonly #options: RepositoryOptions
  readonly #models: ReadonlyMap<string, ModelVersions>
  #timer: NodeJS.Timeout | undefined
  #closed = false

  /** Throws a 400 when two models have one name or a source cannot be a path. */
  constructor(options: RepositoryOptions) {
    this.#options = options
    const models = new Map<string, ModelVersions>()
    for (const { name, source, embedding } of options.sources) {
      if (models.has(name)) throw new ModelError(400, `two models are named "${name}"`)
      const path = pathOf(source)
      models.set(name, { name, path, embedding, versions: [], bad: new Map(), problem: undefined })
    }
    this.#models = models
  }

  /**
   * Loads and warms up everything, then watches. A version that cannot be served is reported, as it is later; throws a
   * 400 naming the first model that has no other.
   */
  async open(): Promise<void> {
    for (const model of this.#models.values()) {
      const files = await versionsAt(model.path, this.#kindOf(model))
      if (files.length === 0) throw new ModelError(400, `model "${model.name}": no model at ${model.path}`)
      model.versions = await this.#loadAll(model, files)
    }
    this.#watch()
  }

  get isReady(): boolean {
    return [...this.#models.values()].every(({ versions }) => versions.length > 0)
  }

  /** What is loaded of each model; nothing of one that loads for the first time. */
  loaded(): ReadonlyMap<string, readonly Served[]> {
    return new Map([...this.#models].map(([name, { versions }]) => [name, versions]))
  }

  names(): string[] {
    return [...this.#models.keys()]
  }

  /** Highest version first. Throws 404 for a name that is not served, 503 while it loads. */
  versions(name: string): readonly Served[] {
    const model = this.#models.get(name)
    if (!model) throw new ModelError(404, `Servable not found for request: Latest(${name})`)
    if (model.versions.length === 0) throw new ModelError(503, `model "${name}" is loading`)
    return model.versions
  }

  /** The highest version, or the one asked for. Use it in the same turn: it may be replaced in the next. */
  find(name: string, version?: string): Served {
    const versions = this.versions(name)
    const found = version === undefined ? versions[0] : versions.find((each) => each.version === version)
    if (!found) throw new ModelError(404, `Servable not found for request: Specific(${name}, ${version})`)
    return found
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#timer)
    for (const model of this.#models.values()) {
      for (const { runner } of model.versions) runner.retire()
      model.versions = []
    }
  }

  async #loadAll(model: ModelVersions, files: readonly VersionFile[]): Promise<LoadedVersion[]> {
    const loaded: LoadedVersion[] = []
    const failed: unknown[] = []
    for (const file of files) {
      try {
        loaded.push(await this.#load(model, file))
      } catch (error) {
        model.bad.set(file.version, file.mark)
        failed.push(error)
      }
    }
    if (loaded.length === 0) throw failed[0]
    for (const error of failed) this.#options.onProblem?.(model.name, reasonOf(error))
    return loaded
  }

  #watch(): void {
    if (this.#closed) return
    this.#timer = setTimeout(() => void this.#poll(), this.#options.pollMs)
    this.#timer.unref()
  }

  async #poll(): Promise<void> {
    for (const model of this.#models.values()) {
      await this.#refresh(model).catch((error: unknown) => {
        this.#unreadable(model, reasonOf(error))
      })
    }
    this.#watch()
  }

  #unreadable(model: ModelVersions, problem: string): void {
    if (model.problem !== problem) this.#options.onProblem?.(model.name, problem)
    model.problem = problem
  }

  /** Compares the files with the loaded versions, and loads what is new. */
  async #refresh(model: ModelVersions): Promise<void> {
    const files = await versionsAt(model.path, this.#kindOf(model))
    if (files.length === 0) return this.#unreadable(model, `nothing at ${model.path}; the last one serves on`)
    model.problem = undefined
    const present = new Map(model.versions.map((each) => [each.version, each]))
    const next: LoadedVersion[] = []
    for (const file of files) {
      const old = present.get(file.version)
      const loaded = old?.mark === file.mark ? old : await this.#replace(model, file, old)
      if (loaded) next.push(loaded)
    }
    this.#publish(model, next)
  }

  /** Loads the new version; returns the old one where the new does not load or has the same bytes. */
  async #replace(
    model: ModelVersions,
    file: VersionFile,
    old: LoadedVersion | undefined,
  ): Promise<LoadedVersion | undefined> {
    if (model.bad.get(file.version) === file.mark) return old
    try {
      return await this.#load(model, file, old)
    } catch (error) {
      model.bad.set(file.version, file.mark)
      this.#options.onProblem?.(model.name, reasonOf(error))
      return old
    }
  }

  #publish(model: ModelVersions, next: readonly LoadedVersion[]): void {
    const before = model.versions
    if (this.#closed || next.length === 0) return
    model.versions = next
    for (const old of before) {
      if (!next.some(({ runner }) => runner === old.runner)) old.runner.retire()
    }
    const evidence = (list: readonly LoadedVersion[]) =>
      list.map((each) => `${each.version} ${each.digest}`).join()
    if (evidence(before) !== evidence(next)) this.#options.onChange?.()
  }

  async #load(
    { name, embedding }: ModelVersions,
    files: VersionFile,
    old?: LoadedVersion,
  ): Promise<LoadedVersion> {
    const { version, file, mark } = files
    try {
      const read = await readModel(files, embedding)
      const { digest } = read
      // The files were touched but their bytes are the same: the loaded model stays.
      if (old?.digest === digest) return { ...old, mark }
      const opened = await openModel(read, { ...this.#options, embedding })
      return { name, version, digest, mark, ...opened }
    } catch (error) {
      throw new ModelError(400, `model "${name}", ${file}: ${reasonOf(error)}`, { cause: error })
    }
  }

  #kindOf({ embedding }: ModelVersions): FilesOfKind {
    const { extension } = this.#options.runtime
    return { extension, companions: embedding && companionFiles }
  }
}
