/**
 * Sends a probe as calls of gRPC, for a backend that takes nothing else. Each probe has a connection of its own: it must notice
 * when no new one can be made.
 */
import http2, { type ClientHttp2Session } from 'node:http2'
import type { LookupFunction, Socket } from 'node:net'
import { portOf } from '../../core/addresses.ts'
import { openHttp2Socket } from '../../lib/tls/http2-socket.ts'
import type { ClientTls } from '../../lib/tls/material.ts'
import { onlyMessage, PREFIX_BYTES, withPrefix } from '../../protocol/grpc/message.ts'
import { grpcTimeout } from '../../protocol/grpc/timeout.ts'
import { type GrpcQuestion, grpcQuestions, httpStatusOf } from './grpc-questions.ts'

export interface GrpcProbeRequest {
  readonly url: URL
  /** As of REST, or a method. */
  readonly path: string
  /** For `:authority`; undefined: the host of the URL. */
  readonly host: string | undefined
  readonly tls: ClientTls | undefined
  /** Further fields. */
  readonly fields: Readonly<Record<string, string>>
  readonly lookup: LookupFunction
  readonly timeoutMs: number
}

export interface GrpcProbeAnswer {
  /** Of HTTP, by its meaning. */
  readonly status: number
  /** As REST has it. */
  readonly body: string
  /** What was answered by which method, for people. */
  readonly said: string
}

const MAX_BODY_BYTES = 256 * 1024
/** The method, or what it asks for, is not known. */
const UNKNOWN: readonly number[] = [404, 501]

/** Rejects with the error of the socket, of TLS or of node:http2. `socket` is given the connection, for its owner to close. */
export async function askGrpc(
  request: GrpcProbeRequest,
  socket: (opened: Socket) => void,
): Promise<GrpcProbeAnswer> {
  const { path } = request
  const session = await open(request, socket)
  let answer: GrpcProbeAnswer = { status: 404, body: '', said: `${path} has no counterpart in gRPC` }
  for (const question of grpcQuestions(path)) {
    answer = await ask(session, question, request)
    if (!UNKNOWN.includes(answer.status)) break
  }
  return answer
}

/** Resolves when the backend has said that it speaks HTTP/2. */
function open(
  { url, tls, lookup }: GrpcProbeRequest,
  opened: (socket: Socket) => void,
): Promise<ClientHttp2Session> {
  return new Promise((resolve, reject) => {
    const isSecure = url.protocol === 'https:'
    const host = url.hostname.replace(/^\[|\]$/g, '')
    const socket = openHttp2Socket({ isSecure, host, port: portOf(url), lookup, tls }, (isHttp2) => {
      if (!isHttp2) return reject(new Error('it does not speak HTTP/2 over TLS'))
      const session = http2.connect(url.origin, { createConnection: () => socket })
      session.on('error', reject).once('remoteSettings', () => resolve(session))
    })
    socket.on('error', reject).on('close', () => reject(CLOSED))
    opened(socket)
  })
}

const CLOSED = new Error('it closed the connection')

function ask(
  session: ClientHttp2Session,
  question: GrpcQuestion,
  { url, host, fields, timeoutMs }: GrpcProbeRequest,
): Promise<GrpcProbeAnswer> {
  return new Promise((resolve, reject) => {
    const stream = session.request({
      ...fields,
      ':method': 'POST',
      ':path': url.pathname.replace(/\/$/, '') + question.method,
      ':authority': host ?? url.host,
      'content-type': 'application/grpc',
      te: 'trailers',
      'user-agent': 'infergate-probe',
      'grpc-timeout': grpcTimeout(timeoutMs),
    })
    let http = 0
    let code: string | undefined
    const pieces: Buffer[] = []
    let length = 0
    stream.on('response', (head) => {
      http = head[':status'] ?? 0
      code = textOf(head['grpc-status'])
    })
    stream.on('trailers', (trailers) => {
      code = textOf(trailers['grpc-status']) ?? code
    })
    stream.on('data', (piece: Buffer) => {
      length += piece.length
      if (length > MAX_BODY_BYTES) stream.close(http2.constants.NGHTTP2_CANCEL)
      else pieces.push(piece)
    })
    stream.on('error', reject)
    stream.on('close', () => {
      if (http === 0) reject(CLOSED)
      else resolve(judged(question, { http, code, body: Buffer.concat(pieces) }))
    })
    stream.end(framed(question.message))
  })
}

function textOf(value: string | string[] | undefined): string | undefined {
  return typeof value === 'string' ? value : undefined
}

function framed(message: Uint8Array): Buffer {
  const bytes = Buffer.alloc(PREFIX_BYTES + message.length)
  bytes.set(message, PREFIX_BYTES)
  return withPrefix(bytes)
}

interface UnaryAnswer {
  readonly http: number
  /** The value of `grpc-status`. */
  readonly code: string | undefined
  readonly body: Buffer
}

/** What is no answer of gRPC counts as one of a broken gateway, which says nothing of the backend's protocol. */
function judged({ method, translate }: GrpcQuestion, { http, code, body }: UnaryAnswer): GrpcProbeAnswer {
  const said = `${method} answered ${code === undefined ? http : `grpc-status ${code}`}`
  if (code === undefined) return { status: http === 200 ? 502 : http, body: '', said }
  if (code !== '0') return { status: httpStatusOf(Number(code)), body: '', said }
  const message = onlyMessage(body, undefined, MAX_BODY_BYTES)
  if (!(message instanceof Uint8Array)) return { status: 502, body: '', said: `${said}, with a broken body` }
  try {
    const answer = translate(message)
    return { ...answer, said: answer.status === 200 ? said : `${method} answered that it is not ready` }
  } catch {
    return { status: 502, body: '', said: `${said}, with a broken body` }
  }
}
