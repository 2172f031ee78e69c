/**
 * A client of the admin API for the command line: finds the address and the token, sends one request with a deadline,
 * and turns an error into one line that says what to do.
 */
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import type { IncomingMessage } from 'node:http'
import { text } from 'node:stream/consumers'
import type { Command } from 'commander'
import { https } from '../lib/http.ts'
import type { AdminAnswerReader } from './answers.ts'

export const DEFAULT_ADMIN = 'http://127.0.0.1:9090'
const TIMEOUT_MS = 10_000

export interface AdminClientOptions {
  /** Base URL of the admin listener. */
  readonly admin: string
  readonly tokenFile?: string
  /** PEM files for `https://`: the authorities to trust, and a certificate of our own with its key. */
  readonly ca?: string
  readonly clientCert?: string
  readonly clientKey?: string
  readonly timeoutMs?: number
}

export interface AdminClient {
  /** What `read` makes of a 2xx answer. Rejects with an AdminError, also where somebody else answers. */
  send<T>(method: string, path: string, read: AdminAnswerReader<T>, body?: unknown): Promise<T>
}

/** The message is for the person at the shell. `status` is undefined when there was no answer. */
export class AdminError extends Error {
  readonly status: number | undefined
  constructor(message: string, status?: number, options?: ErrorOptions) {
    super(message, options)
    this.name = 'AdminError'
    this.status = status
  }
}

/** Adds the options that every command of the admin API takes. */
export function withAdminOptions(command: Command): Command {
  return command
    .option('--admin <url>', 'the admin listener of the gateway', DEFAULT_ADMIN)
    .option(
      '--ca <file>',
      'for https: PEM file of the authorities to trust, instead of those that Node trusts',
    )
    .option('--client-cert <file>', 'for https: PEM file of a certificate to show; needs --client-key')
    .option('--client-key <file>', 'for https: PEM file of its private key')
    .option('--token-file <file>', 'file with the token; else the variable INFERGATE_TOKEN, else none')
}

/** Rejects with an AdminError when the URL or the token file is no good. */
export async function createAdminClient(options: AdminClientOptions): Promise<AdminClient> {
  const base = URL.parse(options.admin)
  if (!base || !/^https?:$/.test(base.protocol)) {
    throw new AdminError(`--admin "${options.admin}" is not a URL: write ${DEFAULT_ADMIN}`)
  }
  const token = await tokenFrom(options.tokenFile)
  const tls = await tlsFrom(options)
  const ask = base.protocol === 'https:' ? overTls(tls) : overHttp
  return {
    async send(method, path, read, body) {
      const url = new URL(path, base)
      const { response, text } = await fetchAnswer(ask, url, {
        method,
        signal: AbortSignal.timeout(options.timeoutMs ?? TIMEOUT_MS),
        headers: {
          accept: 'application/json',
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      })
      const answer = parse(text)
      if (!response.ok)
        throw new AdminError(explain(response.status, answer, token !== undefined), response.status)
      const known = read(answer)
      if (known === undefined)
        throw new AdminError(`${url.origin} gave no answer of the admin API: is --admin the admin address?`)
      return known
    },
  }
}

/** Runs a command's work; an AdminError becomes one line on stderr and exit code 1, or 2 when the gateway failed. */
export async function reportingErrors(work: () => Promise<void>): Promise<void> {
  try {
    await work()
  } catch (error) {
    if (!(error instanceof AdminError)) throw error
    process.stderr.write(`infergate: ${error.message}\n`)
    process.exitCode = (error.status ?? 0) >= 500 ? 2 : 1
  }
}

async function tokenFrom(file: string | undefined): Promise<string | undefined> {
  if (file === undefined) return process.env['INFERGATE_TOKEN'] || undefined
  try {
    const token = (await readFile(file, 'utf8')).trim()
    if (/^[\x21-\x7e]+$/.test(token)) return token
  } catch (error) {
    throw new AdminError(`cannot read the token file ${file}: ${(error as Error).message}`)
  }
  throw new AdminError(`the token file ${file} must hold one token and nothing else`)
}

interface AdminCall {
  readonly method: string
  readonly headers: Readonly<Record<string, string>>
  readonly signal: AbortSignal
  readonly body?: string
}

interface AdminAnswer {
  readonly response: { readonly ok: boolean; readonly status: number }
  readonly text: string
}

type Ask = (url: URL, init: AdminCall) => Promise<AdminAnswer>

const overHttp: Ask = async (url, init) => {
  const response = await fetch(url, { ...init, redirect: 'error' })
  return { response, text: await response.text() }
}

/** `fetch` takes no certificates. */
function overTls(tls: TlsTexts): Ask {
  return async (url, { method, headers, signal, body }) => {
    const request = https().request(url, { ...tls, method, headers, agent: false })
    const stop = () => request.destroy(signal.reason as Error)
    signal.addEventListener('abort', stop, { once: true })
    try {
      request.end(body)
      const [message] = (await once(request, 'response')) as [IncomingMessage]
      const status = message.statusCode ?? 0
      return { response: { ok: status >= 200 && status < 300, status }, text: await text(message) }
    } catch (error) {
      throw signal.aborted ? signal.reason : error
    } finally {
      signal.removeEventListener('abort', stop)
      request.destroy()
    }
  }
}

interface TlsTexts {
  readonly ca?: string
  readonly cert?: string
  readonly key?: string
}

async function tlsFrom({ ca, clientCert, clientKey }: AdminClientOptions): Promise<TlsTexts> {
  if ((clientCert === undefined) !== (clientKey === undefined))
    throw new AdminError('--client-cert and --client-key go together: give both')
  return {
    ...(ca === undefined ? {} : { ca: await pemFrom(ca) }),
    ...(clientCert === undefined ? {} : { cert: await pemFrom(clientCert) }),
    ...(clientKey === undefined ? {} : { key: await pemFrom(clientKey) }),
  }
}

async function pemFrom(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    throw new AdminError(`cannot read ${file}: ${(error as Error).message}`)
  }
}

/** The answer to its end: it may break off, or not come in time, behind its head as well. */
async function fetchAnswer(ask: Ask, url: URL, init: AdminCall): Promise<AdminAnswer> {
  try {
    return await ask(url, init)
  } catch (error) {
    const { name, message, code, cause } = error as NodeJS.ErrnoException & { cause?: NodeJS.ErrnoException }
    if (name === 'TimeoutError')
      throw new AdminError(`${url.origin} did not answer in time: is the gateway stuck?`)
    const known = KNOWN_FAILURES[cause?.code ?? code ?? '']
    const reason = known ?? (cause instanceof AggregateError ? REFUSED : cause?.message || message)
    throw new AdminError(`cannot reach ${url.origin}: ${reason}`, undefined, { cause: error })
  }
}

const REFUSED = 'is "infergate serve" running, and is --admin its admin address?'
const UNTRUSTED =
  'its certificate is of no authority that is trusted: give the PEM file of that authority with --ca'

/** What mends a failure, by its code. */
const KNOWN_FAILURES: Readonly<Record<string, string>> = {
  ECONNREFUSED: REFUSED,
  DEPTH_ZERO_SELF_SIGNED_CERT: UNTRUSTED,
  SELF_SIGNED_CERT_IN_CHAIN: UNTRUSTED,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: UNTRUSTED,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: UNTRUSTED,
}

function parse(text: string): unknown {
  try {
    return text === '' ? undefined : JSON.parse(text)
  } catch {
    return undefined
  }
}

function explain(status: number, answer: unknown, hadToken: boolean): string {
  const problem = (answer ?? {}) as { detail?: unknown; errors?: unknown }
  const errors = Array.isArray(problem.errors) ? problem.errors.map(String) : []
  const detail =
    typeof problem.detail === 'string' ? problem.detail : 'no reason given; is --admin the admin address?'
  if (status === 401 && !hadToken)
    return 'this gateway asks who you are: give --token-file or set INFERGATE_TOKEN, or show a certificate with --client-cert'
  return errors.length > 1 ? [`${status}:`, ...errors].join('\n  ') : `${detail} (${status})`
}
