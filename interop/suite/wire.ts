/** What goes over the wire between the gateway and a server, kept in files of JSON so that `npm test` can play it back. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { SettingsInput } from '../../src/config/schema.ts'
import type { Ask } from './ask.ts'
import { WIRE } from './places.ts'

/** Bytes exactly: text where they are UTF-8, line by line; else base64. */
export type WireBytes = readonly string[] | { readonly base64: string }

export interface WireExchange {
  readonly name: string
  /** What the gateway promises of the same call when it comes again. */
  readonly again: 'hit' | 'forwarded'
  /** What the client asked the gateway. */
  readonly method: string
  readonly path: string
  readonly fields: Readonly<Record<string, string>>
  readonly body?: WireBytes
  /** What the gateway sent to the server. */
  readonly sent: WireBytes
  /** What the server said. */
  readonly received: WireBytes
}

/** One group of exchanges with one server. */
export interface WireFile {
  readonly software: Readonly<Record<string, string>>
  readonly commands: readonly string[]
  readonly date: string
  /** What the gateway was run with, `UPSTREAM` standing for the server's address. */
  readonly settings: SettingsInput
  readonly exchanges: readonly WireExchange[]
}

/** A unary call over gRPC. Bodies have the prefix of each message. */
export interface WireCall {
  readonly name: string
  readonly again: 'hit' | 'forwarded'
  readonly path: string
  /** What the client sent to the server, which is what the gateway is to send. */
  readonly fields: Readonly<Record<string, string>>
  readonly sent: WireBytes
  /** What the server said; no trailers: the fields have the status. */
  readonly received: {
    readonly fields: Readonly<Record<string, string>>
    readonly body: WireBytes
    readonly trailers: Readonly<Record<string, string>>
  }
}

/** The calls of one client to one server. */
export interface WireCallsFile extends Omit<WireFile, 'settings' | 'exchanges'> {
  readonly calls: readonly WireCall[]
}

/** `server` may be a folder of it. */
export function writeWire(server: string, group: string, file: WireFile | WireCallsFile): void {
  const folder = join(WIRE, server)
  mkdirSync(folder, { recursive: true })
  writeFileSync(
    join(folder, `${group.replaceAll(/[^\w]+/g, '-').toLowerCase()}.json`),
    `${JSON.stringify(file, null, 2)}\n`,
  )
}

export function encodeBytes(bytes: Uint8Array): WireBytes {
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
    return text.match(/[^\n]*\n|[^\n]+$/g) ?? []
  } catch {
    return { base64: Buffer.from(bytes).toString('base64') }
  }
}

export const decodeBytes = (bytes: WireBytes): Buffer =>
  'base64' in bytes ? Buffer.from(bytes.base64, 'base64') : Buffer.from(bytes.join(''))

/** The call that a client made, as it is given to `ask`. */
export const askOf = ({ method, path, fields, body }: WireExchange): Ask => ({
  method,
  path,
  fields,
  ...(body === undefined ? {} : { body: decodeBytes(body) }),
})
