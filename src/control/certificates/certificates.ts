/**
 * The certificates of the process: reads the files of every `tls` block, hands them on, and reads them again when they
 * change. Files that cannot be used change nothing but the message on /readyz.
 *
 * The files are checked every half second, since no watch is reliable on network and container file systems. A change is
 * taken up once it has stayed the same for one more check, so that a certificate and its key are replaced together.
 */
import { randomBytes } from 'node:crypto'
import { stat } from 'node:fs/promises'
import { isDeepStrictEqual } from 'node:util'
import type { Log } from '../../core/log.ts'
import type { Clock } from '../../lib/clock.ts'
import type { ClientTls, ServerTls } from '../../lib/tls/material.ts'
import { type Expiring, ExpiryWarnings, expiryReasons } from './expiry.ts'
import {
  type ClientTlsFiles,
  filesOf,
  type Loaded,
  loadClientTls,
  loadServerTls,
  type ServerTlsFiles,
  type ServerTlsMaterial,
} from './files.ts'

/** A `tls` block of the settings. */
export type TlsBlock = ServerTlsFiles | ClientTlsFiles

/** What the blocks stand for, by where they are in the settings. Plain data, for other threads. */
export interface TlsMaterial {
  readonly servers: Readonly<Record<string, ServerTls>>
  readonly clients: Readonly<Record<string, ClientTls>>
}

export interface CertificatesOptions {
  readonly clock: Clock
  readonly log: Log
  /** Called when files have changed or ticket keys were rotated. */
  readonly changed: (material: TlsMaterial) => void
}

const POLL_MS = 500
/** Whoever learns a secret can read the sessions that were resumed under it, so it is short-lived. */
const SECRET_MS = 12 * 3600 * 1000

interface TlsEntry {
  readonly block: TlsBlock
  loaded: Loaded<ServerTlsMaterial | ClientTls>
  /** Of the files as they were read last. */
  stamp: string
  /** Of the files at the last check. */
  seen: string
  problem: string | undefined
}

export class Certificates {
  readonly #options: CertificatesOptions
  readonly #warnings: ExpiryWarnings
  #entries: ReadonlyMap<string, TlsEntry> = new Map()
  #secret = newSecret()
  #cancelPoll: (() => void) | undefined
  #cancelRotation: (() => void) | undefined

  constructor(options: CertificatesOptions) {
    this.#options = options
    this.#warnings = new ExpiryWarnings(options.log)
  }

  get material(): TlsMaterial {
    const servers: Record<string, ServerTls> = {}
    const clients: Record<string, ClientTls> = {}
    for (const [name, { loaded }] of this.#entries) {
      const { material } = loaded
      if ('certificates' in material) servers[name] = { ...material, ticketSecret: this.#secret }
      else clients[name] = material
    }
    return { servers, clients }
  }

  /** Messages for /readyz: files that were refused, and certificates that expire. */
  get reasons(): readonly string[] {
    const refused = [...this.#entries].flatMap(([name, { problem }]) =>
      problem === undefined ? [] : [`${name}: refused reload: ${problem}`],
    )
    return [...refused, ...expiryReasons(this.expiring, this.#options.clock.wall())]
  }

  /** Our own certificates. */
  get expiring(): readonly Expiring[] {
    return [...this.#entries].flatMap(([name, { loaded }]) => loaded.own.map((own) => ({ name, ...own })))
  }

  /**
   * Takes over the blocks of new settings, by where they are in them (`server.tls`), and reads those that are new. Rejects
   * with a CertificateError where one cannot be used; then nothing has changed.
   */
  async follow(blocks: ReadonlyMap<string, TlsBlock>): Promise<void> {
    const take = await this.prepare(blocks)
    take()
  }

  /** As `follow`, but takes over only when the returned function is called, so that other settings can be tried before. */
  async prepare(blocks: ReadonlyMap<string, TlsBlock>): Promise<() => void> {
    const entries = await Promise.all(
      [...blocks].map(async ([name, block]) => {
        const known = this.#entries.get(name)
        const entry = known && isDeepStrictEqual(known.block, block) ? known : await opened(name, block)
        return [name, entry] as const
      }),
    )
    return () => {
      this.#entries = new Map(entries)
      this.#warnings.check(this.expiring, this.#options.clock.wall())
      if (this.#entries.size > 0) this.#start()
      else this.stop()
    }
  }

  stop(): void {
    this.#cancelPoll?.()
    this.#cancelRotation?.()
    this.#cancelPoll = undefined
    this.#cancelRotation = undefined
  }

  #start(): void {
    if (!this.#cancelPoll) this.#poll()
    if (!this.#cancelRotation) this.#rotateLater()
  }

  #poll(): void {
    this.#cancelPoll = this.#options.clock.after(POLL_MS, () => void this.#check())
  }

  #rotateLater(): void {
    this.#cancelRotation = this.#options.clock.after(SECRET_MS, () => {
      this.#secret = newSecret()
      this.#options.changed(this.material)
      this.#rotateLater()
    })
  }

  async #check(): Promise<void> {
    const entries = this.#entries
    const changes = await Promise.all([...entries].map(([name, entry]) => this.#checkEntry(name, entry)))
    // Stopped, or under other settings, while files were read.
    if (!this.#cancelPoll) return
    if (changes.some(Boolean) && entries === this.#entries) this.#options.changed(this.material)
    this.#warnings.check(this.expiring, this.#options.clock.wall())
    this.#poll()
  }

  /** True where the entry has changed. */
  async #checkEntry(name: string, entry: TlsEntry): Promise<boolean> {
    const stamp = await stampOf(entry.block)
    const isStill = stamp === entry.seen
    entry.seen = stamp
    if (stamp === entry.stamp || !isStill) return false
    entry.stamp = stamp
    const { log } = this.#options
    const files = filesOf(entry.block)
    try {
      const before = entry.loaded.material
      entry.loaded = await load(entry.block)
      entry.problem = undefined
      log.info('tls.reloaded', { tls: name, files })
      return !isDeepStrictEqual(before, entry.loaded.material)
    } catch (error) {
      entry.problem = (error as Error).message
      log.error('tls.refused', { tls: name, problem: entry.problem })
      return false
    }
  }
}

async function opened(name: string, block: TlsBlock): Promise<TlsEntry> {
  const stamp = await stampOf(block)
  const loaded = await load(block).catch((error: unknown) => {
    ;(error as Error).message = `${name}: ${(error as Error).message}`
    throw error
  })
  return { block, loaded, stamp, seen: stamp, problem: undefined }
}

function load(block: TlsBlock): Promise<TlsEntry['loaded']> {
  return 'certificates' in block ? loadServerTls(block) : loadClientTls(block)
}

/** Changes whenever a file does, as far as the file system says; follows symbolic links. */
async function stampOf(block: TlsBlock): Promise<string> {
  const stamps = await Promise.all(
    filesOf(block).map(async (file) => {
      try {
        const { dev, ino, size, mtimeNs } = await stat(file, { bigint: true })
        return [dev, ino, size, mtimeNs].join()
      } catch {
        return ''
      }
    }),
  )
  return stamps.join(' ')
}

function newSecret(): string {
  return randomBytes(32).toString('hex')
}
