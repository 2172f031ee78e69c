/**
 * Writes process memory into a file, what is worth most first, while calls go on. Nothing is held twice: records are copied a
 * few at a time from the arenas into one buffer, and from there into the file. It has another name until it is whole.
 */
import { constants } from 'node:fs'
import { type FileHandle, open, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { statusIn } from '../../data/cache/entry.ts'
import type { ArenaWalk, Visitor, WalkedRecord } from '../../data/cache/memory/arena-walk.ts'
import type { Memory } from '../../data/cache/memory/memory.ts'
import {
  END_BYTES,
  encodeEnd,
  encodeHead,
  finished,
  LEAD_BYTES,
  putRecord,
  recordBytes,
  type SealedFile,
} from '../../data/cache/snapshot/format.ts'
import type { Clock } from '../../lib/clock.ts'
import type { Slices } from '../../lib/slices.ts'
import { bandOf, WorthRanking } from './ranking.ts'
import type { SnapshotHead } from './snapshot-head.ts'

export interface WriteOptions {
  readonly memory: Pick<Memory, 'walks'>
  readonly file: string
  readonly head: SnapshotHead
  readonly seal: SealedFile['seal']
  /** Bound of the file. */
  readonly maxBytes: number
  readonly slices: Slices
  readonly clock: Clock
  /** Time is up, and what is written so far is worth having. */
  readonly isLate: () => boolean
  /** Puts the file in its place, unless what it has is void by now. */
  readonly commit: (rename: () => Promise<void>) => Promise<boolean>
}

export interface WrittenSnapshot {
  readonly records: number
  readonly bytes: number
}

/** Bytes that are copied, and written, at a time. */
const CHUNK_BYTES = 64 * 1024
/** Slots of the index that are read at a time, under the lock of an arena. */
const SLOTS = 1024

/** Undefined: what was written is void. Rejects with what the system says; then nothing has changed. */
export async function writeSnapshot(options: WriteOptions): Promise<WrittenSnapshot | undefined> {
  const { file, commit } = options
  const temporary = `${file}.${process.pid}.tmp`
  await rm(temporary, { force: true })
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL
  try {
    await using handle = await open(temporary, flags, 0o600)
    const written = await new SnapshotWriter(handle, options).write()
    await handle.sync()
    const isPlaced = await commit(() => rename(temporary, file))
    if (isPlaced) await syncFolder(file)
    return isPlaced ? written : undefined
  } finally {
    await rm(temporary, { force: true }).catch(() => {})
  }
}

/** A file that was renamed or removed is so after a crash of the system only once its folder was written. */
export async function syncFolder(file: string): Promise<void> {
  await using folder = await open(dirname(file), constants.O_RDONLY)
  await folder.sync()
}

class SnapshotWriter {
  readonly #handle: FileHandle
  readonly #options: WriteOptions
  readonly #file: SealedFile
  readonly #began: number
  #chunk = Buffer.allocUnsafe(CHUNK_BYTES)
  #filled = 0
  /** Records in the chunk. */
  #waiting = 0
  /** The last record did not fit into it. */
  #isFull = false
  #records = 0
  #bytes = 0

  constructor(handle: FileHandle, options: WriteOptions) {
    this.#handle = handle
    this.#options = options
    this.#file = { id: options.head.id, seal: options.seal }
    this.#began = options.clock.now()
  }

  async write(): Promise<WrittenSnapshot> {
    const { memory, head, seal, maxBytes, isLate } = this.#options
    await this.#append(encodeHead(head, seal))
    const walks = memory.walks()
    const ranking = await this.#rank(walks)
    const room = maxBytes - LEAD_BYTES - END_BYTES
    // What has become worth more since its band was written is in the next one.
    for (const from of ranking.bands(room))
      for (const walk of walks)
        if (!isLate())
          await this.#steps(walk, (record) => (bandOf(record.worth) < from ? 'left' : this.#put(record)))
    await this.#flush()
    await this.#append(encodeEnd(this.#records, this.#bytes + END_BYTES))
    return { records: this.#records, bytes: this.#bytes }
  }

  async #rank(walks: readonly ArenaWalk[]): Promise<WorthRanking> {
    const ranking = new WorthRanking()
    const overhead = this.#options.seal?.overhead ?? 0
    for (const walk of walks)
      await this.#steps(walk, ({ worth, size }) => {
        ranking.add(worth, size + overhead)
        return 'left'
      })
    return ranking
  }

  async #steps(walk: ArenaWalk, visit: Visitor): Promise<void> {
    const { clock, slices, isLate } = this.#options
    for (;;) {
      const isAtEnd = walk.step(SLOTS, clock.now(), visit)
      if (this.#filled >= CHUNK_BYTES / 2 || (!isAtEnd && this.#isFull)) await this.#flush()
      if (isAtEnd || isLate()) return
      if (slices.isOver) await slices.rest()
    }
  }

  #put({ bytes, expiresAt, meta }: WalkedRecord): ReturnType<Visitor> {
    // The nodes of URLs: a write may have replaced them since, which no file knows of.
    if (statusIn(bytes.subarray(32)) === 204) return 'taken'
    const size = recordBytes(bytes.length - 32)
    const overhead = (this.#waiting + 1) * (this.#options.seal?.overhead ?? 0)
    if (this.#bytes + this.#filled + size + overhead + END_BYTES > this.#options.maxBytes) return 'taken'
    if (this.#filled === 0 && size > this.#chunk.length) this.#chunk = Buffer.allocUnsafe(size)
    this.#isFull = this.#filled + size > this.#chunk.length
    if (this.#isFull) return 'full'
    this.#filled = putRecord(this.#chunk, this.#filled, { bytes, lifeMs: expiresAt - this.#began, meta })
    this.#waiting++
    return 'taken'
  }

  async #flush(): Promise<void> {
    this.#isFull = false
    if (this.#filled === 0) return
    await this.#append(finished(this.#chunk.subarray(0, this.#filled), this.#file))
    this.#records += this.#waiting
    this.#filled = 0
    this.#waiting = 0
    if (this.#chunk.length > CHUNK_BYTES) this.#chunk = Buffer.allocUnsafe(CHUNK_BYTES)
  }

  async #append(bytes: Buffer): Promise<void> {
    await this.#options.slices.aside(this.#handle.writeFile(bytes))
    this.#bytes += bytes.length
  }
}
