/**
 * Sends scale signals to a URL: CloudEvents 1.0 in structured JSON, signed as in Standard Webhooks (HMAC-SHA256 over
 * `id.timestamp.body`). The newest signal of a pool is sent at once, retried until it is accepted or superseded, and
 * repeated while nothing changes, so that a lost event heals by itself.
 */
import { createHmac, randomUUID } from 'node:crypto'
import type { Clock } from '../../lib/clock.ts'
import type { Emitter, ScaleSignal } from './signal.ts'

export interface WebhookOptions {
  readonly url: string
  /** Key of the signature; without it events are not signed. */
  readonly secret?: string
  /** The event's `source`, a URI reference. */
  readonly source: string
  readonly clock: Clock
  /** Between repetitions of an unchanged signal, milliseconds. */
  readonly repeatMs?: number
  readonly timeoutMs?: number
  /** Called with every attempt, for metrics and the log. */
  readonly onAttempt?: (attempt: DeliveryAttempt) => void
}

export interface DeliveryAttempt {
  readonly pool: string
  readonly id: string
  /** Undefined: accepted. */
  readonly problem?: string
}

const TYPE = 'dev.infergate.scale.desired.v1'
const FIRST_RETRY_MS = 500
const LONGEST_RETRY_MS = 10_000

interface WebhookQueue {
  newest: ScaleSignal
  failures: number
  isSending: boolean
  cancel: () => void
}

export function createWebhook(options: WebhookOptions): Emitter {
  const { clock, url, repeatMs = 30_000 } = options
  const lines = new Map<string, WebhookQueue>()
  const ending = new AbortController()

  const send = async (line: WebhookQueue) => {
    line.cancel()
    if (line.isSending || ending.signal.aborted) return
    line.isSending = true
    const signal = line.newest
    const problem = await deliver(signal, options, ending.signal)
    line.isSending = false
    if (ending.signal.aborted) return
    options.onAttempt?.({ pool: signal.pool, id: signal.id, ...(problem === undefined ? {} : { problem }) })
    if (line.newest !== signal) return void send(line)
    line.failures = problem === undefined ? 0 : line.failures + 1
    line.cancel = clock.after(waitMs(line.failures, repeatMs), () => void send(line))
  }

  return {
    name: `webhook ${new URL(url).host}`,
    emit(signal) {
      if (ending.signal.aborted) return
      const line = lines.get(signal.pool)
      const isSame = line?.newest.id === signal.id
      if (!line) {
        const opened: WebhookQueue = { newest: signal, failures: 0, isSending: false, cancel: () => {} }
        lines.set(signal.pool, opened)
        return void send(opened)
      }
      line.newest = signal
      // The same decision again only refreshes what the next repetition says.
      if (isSame) return
      line.failures = 0
      void send(line)
    },
    close() {
      ending.abort()
      for (const line of lines.values()) line.cancel()
      lines.clear()
    },
  }
}

function waitMs(failures: number, repeatMs: number): number {
  if (failures === 0) return repeatMs
  return Math.min(LONGEST_RETRY_MS, repeatMs, FIRST_RETRY_MS * 2 ** (failures - 1))
}

/** One attempt; returns the problem, or undefined when it was accepted. */
async function deliver(
  signal: ScaleSignal,
  options: WebhookOptions,
  ending: AbortSignal,
): Promise<string | undefined> {
  const body = JSON.stringify(eventOf(signal, options.source))
  const timeout = AbortSignal.timeout(options.timeoutMs ?? 5_000)
  try {
    const { url, authorization } = endpointOf(options.url)
    const answer = await fetch(url, {
      method: 'POST',
      headers: {
        'content-type': 'application/cloudevents+json',
        ...authorization,
        ...signatureOf(body, options),
      },
      body,
      redirect: 'error',
      signal: AbortSignal.any([timeout, ending]),
    })
    await answer.body?.cancel()
    return answer.ok ? undefined : `answered ${answer.status}`
  } catch (error) {
    if (timeout.aborted) return `no answer within ${options.timeoutMs ?? 5_000} ms`
    const { message, cause } = error as Error
    return cause instanceof Error ? `${message}: ${cause.message}` : message
  }
}

/** `fetch` rejects credentials in a URL, and its error message would write them into the log. */
function endpointOf(text: string): { url: URL; authorization: Record<string, string> } {
  const url = new URL(text)
  const { username, password } = url
  if (username === '' && password === '') return { url, authorization: {} }
  url.username = url.password = ''
  const pair = [username, password].map((part) => decodeURIComponent(part)).join(':')
  return { url, authorization: { authorization: `Basic ${Buffer.from(pair).toString('base64')}` } }
}

function signatureOf(body: string, { secret, clock }: WebhookOptions): Record<string, string> {
  if (secret === undefined) return {}
  // Each delivery has its own message id, so that a repetition is not dropped as a duplicate. Equal decisions share the
  // event's id.
  const id = randomUUID()
  const timestamp = String(Math.floor(clock.wall() / 1000))
  const signature = createHmac('sha256', secret).update(`${id}.${timestamp}.${body}`).digest('base64')
  return { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': `v1,${signature}` }
}

function eventOf(signal: ScaleSignal, source: string) {
  const { decision, atMs, validUntilMs, id, pool, token } = signal
  const { ready, starting, at: _, ...rest } = decision
  return {
    specversion: '1.0',
    id,
    source,
    type: TYPE,
    subject: pool,
    time: new Date(atMs).toISOString(),
    datacontenttype: 'application/json',
    data: {
      decisionId: id,
      token,
      pool,
      at: new Date(atMs).toISOString(),
      validUntil: new Date(validUntilMs).toISOString(),
      current: { ready, starting },
      ...rest,
    },
  }
}
