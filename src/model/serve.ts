/**
 * The life cycle of a model server's process: listen, load, register; and at the end drain, answer, deregister, close.
 * The order matters: a server is registered only when it can answer, and deregistered before it stops.
 */
import type { Log } from '../core/log.ts'
import { ModelLease } from './lease.ts'
import type { LeaseTerms, ServedModel } from './lease-client.ts'
import { onnx } from './onnx.ts'
import { type ModelSource, Repository } from './repository.ts'
import { ModelServer } from './server.ts'

/** Interval at which the model files are checked. */
const POLL_MS = 1_000

/** `url` may be left out: the server's own URL is used, which is known once it listens. */
export type RegistrationTerms = Omit<LeaseTerms, 'url' | 'grpc'> & { readonly url?: string }

export interface ServeOptions {
  readonly models: readonly ModelSource[]
  readonly host: string
  /** 0: any free port. */
  readonly port: number
  readonly maxBatch: number
  readonly delayMs: number
  /** How long the end waits for running calls. */
  readonly drainMs: number
  /** This program's own version, for `GET /v2`. */
  readonly version: string
  readonly register?: (url: string) => RegistrationTerms
  readonly log: Log
  readonly onListening: (url: string) => void
  readonly onReady: () => void
  readonly onFenced: () => void
}

export interface ModelService {
  /** Rejects when a model cannot be served: a ModelError names it. */
  readonly ready: Promise<void>
  /** Idempotent; resolves within `drainMs` and the time the registry is given. */
  stop(): Promise<void>
}

/** Rejects with the system's error when the address cannot be listened on. */
export async function serveModels(options: ServeOptions): Promise<ModelService> {
  const { log } = options
  let lease: ModelLease | undefined
  let stopping: Promise<void> | undefined
  const repository = new Repository({
    ...options,
    runtime: onnx,
    sources: options.models,
    pollMs: POLL_MS,
    onChange: () => {
      log.info('model.changed', { models: offersOf(repository) })
      lease?.update(offersOf(repository))
    },
    onProblem: (model, reason) => log.warn('model.kept', { model, reason }),
  })
  const server = new ModelServer({
    repository,
    version: options.version,
    onFault: (error) => log.error('model.fault', { error: error instanceof Error ? error.stack : error }),
  })
  const url = await server.listen(options.host, options.port)
  options.onListening(url)

  async function load(): Promise<void> {
    await repository.open()
    if (stopping) return repository.close()
    options.onReady()
    if (options.register) lease = startLease(options.register(url), url, repository, options)
  }

  async function stop(): Promise<void> {
    const deadline = performance.now() + options.drainMs
    server.drain()
    if (lease) {
      await lease.drain()
      await server.quiet(deadline - performance.now())
    }
    await server.close(Math.max(0, deadline - performance.now()))
    await lease?.leave()
    repository.close()
  }

  return {
    ready: load(),
    stop: () => {
      stopping ??= stop()
      return stopping
    },
  }
}

function startLease(
  terms: RegistrationTerms,
  ownUrl: string,
  repository: Repository,
  { log, onFenced }: ServeOptions,
): ModelLease {
  const { pool, id } = terms
  const at = terms.url ?? ownUrl
  return new ModelLease({ ...terms, url: at, grpc: at }, offersOf(repository), {
    onRegistered: (generation) => log.info('lease.registered', { pool, id, generation }),
    onProblem: (reason) => log.warn('lease.trouble', { pool, id, reason }),
    onFenced: (reason) => {
      log.error('lease.fenced', { pool, id, reason, why: 'a successor registered under this id' })
      onFenced()
    },
  })
}

const offersOf = (repository: Repository): ServedModel[] =>
  repository
    .names()
    .flatMap((name) => repository.versions(name))
    .map(({ name, version, digest, runner }) => ({ name, version, digest, maxBatch: runner.maxBatch }))
