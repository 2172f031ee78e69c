/**
 * Models in S3, or in a server that speaks its API, by the AWS SDK: only here, and loaded only where a source needs it.
 * An object appears whole, so what is listed is complete; it is fetched under the condition that it is still the one
 * that was listed, and the SDK checks the checksum that S3 keeps of it.
 */
import type * as Sdk from '@aws-sdk/client-s3'
import { isFileName } from '../core/store-url.ts'
import { requirePackages } from '../lib/optional-packages.ts'
import { StoreError, type StoreFault } from './error.ts'
import {
  type Download,
  MODEL_FILE,
  type ModelStore,
  SINGLE_VERSION,
  type StoredVersion,
  versionNames,
} from './model-store.ts'

export interface S3StoreOptions {
  readonly bucket: string
  /** Of a model file, or of what would be a directory of versions; no slash at either end. */
  readonly key: string
  readonly maxVersions: number
  readonly endpoint?: string | undefined
  readonly region?: string | undefined
  readonly pathStyle?: boolean | undefined
  readonly timeoutMs: number
  readonly connectTimeoutMs: number
}

/** A page has up to 1,000 prefixes. */
const MAX_PAGES = 10

export async function openS3Store(options: S3StoreOptions): Promise<ModelStore> {
  requirePackages('s3')
  const sdk = await import('@aws-sdk/client-s3')
  const { endpoint, region, pathStyle, timeoutMs, connectTimeoutMs } = options
  const client = new sdk.S3Client({
    ...(endpoint === undefined ? {} : { endpoint, forcePathStyle: true }),
    ...(pathStyle === undefined ? {} : { forcePathStyle: pathStyle }),
    ...(region === undefined ? {} : { region }),
    maxAttempts: 2,
    requestHandler: {
      connectionTimeout: connectTimeoutMs,
      // Until the head of an answer, and of silence in a body.
      requestTimeout: timeoutMs,
      throwOnRequestTimeout: true,
      socketTimeout: timeoutMs,
    },
  })
  return new S3Store(sdk, client, options)
}

class S3Store implements ModelStore {
  readonly #sdk: typeof Sdk
  readonly #client: Sdk.S3Client
  readonly #options: S3StoreOptions

  constructor(sdk: typeof Sdk, client: Sdk.S3Client, options: S3StoreOptions) {
    this.#sdk = sdk
    this.#client = client
    this.#options = options
  }

  async versions(_known: ReadonlyMap<string, string>, signal: AbortSignal): Promise<StoredVersion[]> {
    const { key, maxVersions } = this.#options
    const names = isFileName(key) ? [SINGLE_VERSION] : versionNames(await this.#prefixes(signal), maxVersions)
    const versions: StoredVersion[] = []
    for (const version of names) {
      const mark = await this.#mark(version, signal)
      if (mark !== undefined) versions.push({ version, mark })
    }
    return versions
  }

  async open({ version, mark }: StoredVersion, signal: AbortSignal): Promise<Download> {
    const { bucket: Bucket } = this.#options
    const Key = this.#keyOf(version)
    const command = new this.#sdk.GetObjectCommand({ Bucket, Key, IfMatch: mark, ChecksumMode: 'ENABLED' })
    const answer = await this.#client
      .send(command, { abortSignal: signal })
      .catch((error: unknown) => Promise.reject(translate(error, `GetObject of ${Key}`)))
    const body = answer.Body as (AsyncIterable<Uint8Array> & { destroy?: () => void }) | undefined
    if (!body) throw new StoreError('invalid', `GetObject of ${Key}: no body`)
    return {
      body: readBody(body, `GetObject of ${Key}`),
      length: answer.ContentLength,
      confirm: () => Promise.resolve(),
      close: () => body.destroy?.(),
    }
  }

  close(): Promise<void> {
    this.#client.destroy()
    return Promise.resolve()
  }

  #keyOf(version: string): string {
    const { key } = this.#options
    return isFileName(key) ? key : `${key}/${version}/${MODEL_FILE}`
  }

  /** The ETag of a version's file; undefined where there is none. */
  async #mark(version: string, signal: AbortSignal): Promise<string | undefined> {
    const Key = this.#keyOf(version)
    const command = new this.#sdk.HeadObjectCommand({ Bucket: this.#options.bucket, Key })
    try {
      const { ETag, ContentLength } = await this.#client.send(command, { abortSignal: signal })
      return ContentLength === 0 ? undefined : ETag
    } catch (error) {
      const fault = translate(error, `HeadObject of ${Key}`)
      if (fault.fault === 'missing') return undefined
      throw fault
    }
  }

  /** The names below the key that end in a slash. */
  async #prefixes(signal: AbortSignal): Promise<string[]> {
    const { bucket: Bucket, key } = this.#options
    const Prefix = `${key}/`
    const names: string[] = []
    let ContinuationToken: string | undefined
    for (let page = 0; page < MAX_PAGES; page++) {
      const command = new this.#sdk.ListObjectsV2Command({
        Bucket,
        Prefix,
        Delimiter: '/',
        ContinuationToken,
      })
      const answer = await this.#client
        .send(command, { abortSignal: signal })
        .catch((error: unknown) => Promise.reject(translate(error, `ListObjectsV2 of ${Prefix}`)))
      for (const found of answer.CommonPrefixes ?? []) {
        const prefix = found.Prefix ?? ''
        if (prefix.startsWith(Prefix) && prefix.endsWith('/')) names.push(prefix.slice(Prefix.length, -1))
      }
      if (!answer.IsTruncated) return names
      ContinuationToken = answer.NextContinuationToken
    }
    throw new StoreError('tooLarge', `ListObjectsV2 of ${Prefix}: more than ${MAX_PAGES} pages`)
  }
}

async function* readBody(body: AsyncIterable<Uint8Array>, what: string): AsyncGenerator<Uint8Array> {
  try {
    for await (const part of body) yield part
  } catch (error) {
    throw translate(error, what)
  }
}

const FAULTS: Readonly<Record<number, StoreFault>> = {
  401: 'denied',
  403: 'denied',
  404: 'missing',
  412: 'incomplete',
  429: 'unreachable',
}

/** An error of the SDK: what the server said has a status, and what never reached it has none. */
function translate(error: unknown, what: string): StoreError {
  if (error instanceof StoreError) return error
  const cause = error instanceof Error ? error : new Error(String(error))
  const metadata = '$metadata' in cause ? (cause.$metadata as { httpStatusCode?: number }) : {}
  const status = metadata.httpStatusCode
  const isAnswered = status !== undefined && status < 500
  const fault = isAnswered ? (FAULTS[status] ?? 'invalid') : faultOf(cause)
  const said = status === undefined ? cause.name : `status ${status}, ${cause.name}`
  return new StoreError(fault, `${what}: ${said}: ${cause.message}`.slice(0, 500), { cause })
}

/** Missing credentials are not found out by asking again at once, but may be there later. */
const faultOf = ({ name }: Error): StoreFault =>
  name === 'CredentialsProviderError' ? 'denied' : 'unreachable'
