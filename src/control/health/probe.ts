/**
 * Sends one probe to a backend: a GET, a POST, or a bare connect, with a deadline. Redirects are not followed, since
 * they could lead anywhere; the address rules hold at every connect.
 */
import type { ClientRequest } from 'node:http'
import { connect, isIP, type Socket } from 'node:net'
import { type AddressRules, portOf } from '../../core/addresses.ts'
import { type BackendAddresses, mainAddress, type Transport } from '../../core/backend.ts'
import { type BackendCredential, mayReceive, WITHHELD } from '../../core/backend-credential.ts'
import { http, https } from '../../lib/http.ts'
import { connectOptions } from '../../lib/tls/connect-options.ts'
import type { ClientTls } from '../../lib/tls/material.ts'
import { FORBIDDEN, guardedLookup, literalRefusal } from '../registry/addresses.ts'

/** How the backends of a pool are reached. */
export interface ProbeAccess {
  /** For the Host field; undefined: the host of the URL. */
  readonly host?: string | undefined
  /** For `https`; undefined: as Node does by itself. */
  readonly tls?: ClientTls | undefined
  /** The gateway's own; a backend that may not have it is not asked. */
  readonly credential?: BackendCredential | undefined
}

/** Only what says how a backend is reached, of an object that says more. */
export function accessOf({ host, tls, credential }: ProbeAccess): ProbeAccess {
  return { host, tls, credential }
}

/** Where and how a backend is probed: over gRPC where it takes nothing else. */
export function reached(backend: BackendAddresses): { readonly url: string; readonly transport: Transport } {
  return { url: mainAddress(backend), transport: backend.url === undefined ? 'grpc' : 'http' }
}

export interface ProbeRequest extends ProbeAccess {
  /** The backend's address, without a trailing slash. */
  readonly url: string
  /** How it is asked; left out: `http`. Over `grpc`, what the path asks for is asked by the calls that stand for it. */
  readonly transport?: Transport
  /** Path below the URL; undefined: connect and close. */
  readonly path: string | undefined
  readonly timeoutMs: number
  /** The JSON of a probe that is a POST. */
  readonly json?: string
  /** Most bytes of the answer that are read; left out: 64 KiB. */
  readonly maxBodyBytes?: number
}

export type ProbeResult =
  /** `said`: who answered what, for people, where it was not the path. `isCut`: the body was too long, and is left out. */
  | {
      readonly kind: 'status'
      readonly status: number
      readonly body: string
      readonly said?: string
      readonly isCut?: boolean
    }
  | { readonly kind: 'connected' }
  | { readonly kind: 'refused' | 'timeout' | 'forbidden' | 'failed'; readonly message: string }

/** Never rejects: an error is a result, too. */
export type Probe = (request: ProbeRequest) => Promise<ProbeResult>

/** Longest body: a status answer is a few lines. */
const MAX_BODY_BYTES = 64 * 1024

export function createProbe(rules: AddressRules): Probe {
  return (request) => {
    const url = new URL(request.url)
    const port = portOf(url)
    const refusal = literalRefusal(url.hostname, port, rules)
    if (refusal !== undefined) return Promise.resolve({ kind: 'forbidden', message: refusal })
    const { credential } = request
    if (credential && !mayReceive(request.url, credential))
      return Promise.resolve({ kind: 'forbidden', message: WITHHELD })
    const { path } = request
    if (path === undefined) return dial(url, request, rules)
    return request.transport === 'grpc' ? call(url, { ...request, path }, rules) : get(url, request, rules)
  }
}

function dial(url: URL, { timeoutMs }: ProbeRequest, rules: AddressRules): Promise<ProbeResult> {
  return new Promise((resolve) => {
    const port = portOf(url)
    const host = url.hostname.replace(/^\[|\]$/g, '')
    const socket = connect({ host, port, lookup: guardedLookup(rules, port) })
    const finish = (result: ProbeResult): void => {
      clearTimeout(timer)
      socket.destroy()
      resolve(result)
    }
    const timer = setTimeout(() => finish(timedOut(timeoutMs)), timeoutMs)
    socket.once('connect', () => finish({ kind: 'connected' }))
    socket.on('error', (error) => finish(failure(error)))
  })
}

function get(
  url: URL,
  { path, timeoutMs, host, json, tls, credential, maxBodyBytes = MAX_BODY_BYTES }: ProbeRequest,
  rules: AddressRules,
): Promise<ProbeResult> {
  return new Promise((resolve) => {
    const send = url.protocol === 'https:' ? https().request : http.request
    const finish = (result: ProbeResult): void => {
      clearTimeout(timer)
      request.destroy()
      resolve(result)
    }
    // A new connection each time: the probe must notice when no new one can be made.
    const request: ClientRequest = send(`${url.origin}${url.pathname.replace(/\/$/, '')}${path}`, {
      agent: false,
      lookup: guardedLookup(rules, portOf(url)),
      ...(json === undefined ? {} : { method: 'POST' }),
      headers: {
        accept: 'application/json, */*',
        'user-agent': 'infergate-probe',
        ...(host === undefined ? {} : { host }),
        ...(credential && { [credential.header]: credential.value }),
        ...(json === undefined ? {} : { 'content-type': 'application/json', 'content-length': json.length }),
      },
      // The certificate is checked for the backend's own name, whatever the Host field is.
      servername: tls?.serverName ?? (isIP(url.hostname) === 0 ? url.hostname : ''),
      ...connectOptions(tls),
    })
    const timer = setTimeout(() => finish(timedOut(timeoutMs)), timeoutMs)
    request.on('error', (error) => finish(failure(error)))
    request.on('response', (response) => {
      let body = ''
      response.setEncoding('latin1')
      response.on('data', (text: string) => {
        body += text
        if (body.length > maxBodyBytes)
          finish({ kind: 'status', status: response.statusCode ?? 0, body: '', isCut: true })
      })
      response.on('error', (error) => finish(failure(error)))
      response.on('end', () => finish({ kind: 'status', status: response.statusCode ?? 0, body }))
    })
    request.end(json)
  })
}

async function call(
  url: URL,
  { path, timeoutMs, host, tls, credential }: ProbeRequest & { readonly path: string },
  rules: AddressRules,
): Promise<ProbeResult> {
  // node:http2 is loaded with the first backend that takes only gRPC.
  const { askGrpc } = await import('./grpc-probe.ts')
  let socket: Socket | undefined
  let isLate = false
  const timer = setTimeout(() => {
    isLate = true
    socket?.destroy()
  }, timeoutMs)
  const lookup = guardedLookup(rules, portOf(url))
  const fields = credential ? { [credential.header]: credential.value } : {}
  try {
    const request = { url, path, host, tls, fields, lookup, timeoutMs }
    return { kind: 'status', ...(await askGrpc(request, (opened) => (socket = opened))) }
  } catch (error) {
    return isLate ? timedOut(timeoutMs) : failure(error as NodeJS.ErrnoException)
  } finally {
    clearTimeout(timer)
    socket?.destroy()
  }
}

function timedOut(timeoutMs: number): ProbeResult {
  return { kind: 'timeout', message: `no answer within ${timeoutMs} ms` }
}

function failure(error: NodeJS.ErrnoException): ProbeResult {
  if (error.code === FORBIDDEN) return { kind: 'forbidden', message: error.message }
  // With several addresses tried, Node throws an AggregateError whose own message is empty.
  const first =
    error instanceof AggregateError ? (error.errors[0] as NodeJS.ErrnoException | undefined) : error
  const reason = first?.message || error.message || error.code || 'connection failed'
  const message = isUntrusted(first ?? error) ? `its certificate is not accepted: ${reason}` : reason
  return { kind: error.code === 'ECONNREFUSED' ? 'refused' : 'failed', message }
}

/** Node's verification errors have a code; OpenSSL's own begin with ERR_SSL. */
function isUntrusted({ code = '' }: NodeJS.ErrnoException): boolean {
  return (
    /CERT|^UNABLE_TO_|^INVALID_(?:CA|PURPOSE)$|^HOSTNAME_MISMATCH$/.test(code) && !code.startsWith('ERR_SSL')
  )
}
