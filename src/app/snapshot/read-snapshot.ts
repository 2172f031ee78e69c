/**
 * Reads a snapshot: its head first, then its records, a few at a time. A file that is not wholly right is not used; one that turns
 * out to be damaged in the middle is used up to there, since each record is checked by itself.
 */
import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import {
  END_BYTES,
  type FileRecord,
  LEAD_BYTES,
  longestRecord,
  readEnd,
  readHead,
  readLead,
  recordAt,
  type SealedFile,
  type UnfitFile,
} from '../../data/cache/snapshot/format.ts'
import type { Slices } from '../../lib/slices.ts'
import { readSnapshotHead, type SnapshotHead } from './snapshot-head.ts'

export interface OpenSnapshot {
  readonly head: SnapshotHead
  readonly records: number
  readonly bytes: number
  /** Calls `take` with each record, valid until it returns. False: the file is damaged from there on. */
  read(slices: Slices, take: (record: FileRecord) => void, isStopped: () => boolean): Promise<boolean>
  close(): Promise<void>
}

interface SnapshotReadOptions {
  readonly seal: SealedFile['seal']
  /** The longest value of a record. */
  readonly maxValueBytes: number
}

/** Undefined: there is no such file. Rejects with what the system says. */
export async function openSnapshot(
  file: string,
  options: SnapshotReadOptions,
): Promise<OpenSnapshot | UnfitFile | undefined> {
  // Without O_NONBLOCK, opening a pipe that nobody writes to waits for ever.
  const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  })
  if (!handle) return undefined
  try {
    const opened = await begin(handle, options)
    if ('unfit' in opened) await handle.close()
    return opened
  } catch (error) {
    await handle.close()
    throw error
  }
}

async function begin(handle: FileHandle, options: SnapshotReadOptions): Promise<OpenSnapshot | UnfitFile> {
  const { size, mode, uid, isRegular } = await statusOf(handle)
  if (!isRegular) return { unfit: 'it is no regular file' }
  // Answers that somebody else may have written would be given to callers.
  if (process.getuid && uid !== process.getuid()) return { unfit: 'it belongs to another user' }
  if ((mode & 0o002) !== 0) return { unfit: 'everybody may write to it' }
  const lead = readLead(await bytesAt(handle, 0, LEAD_BYTES))
  if ('unfit' in lead) return lead
  const body = await bytesAt(handle, LEAD_BYTES, Math.min(lead.headBytes, Math.max(0, size - LEAD_BYTES)))
  const read = readHead(body, lead.crc, options.seal)
  if ('unfit' in read) return read
  const head = readSnapshotHead(read.head)
  if (!head) return { unfit: 'its head is damaged' }
  const from = LEAD_BYTES + lead.headBytes
  const records =
    size < from + END_BYTES ? undefined : readEnd(await bytesAt(handle, size - END_BYTES, END_BYTES), size)
  if (records === undefined) return { unfit: 'it is not whole' }
  const file = { id: head.id, seal: options.seal, longest: 0 }
  file.longest = longestRecord(options.maxValueBytes, file)
  return {
    head,
    records,
    bytes: size,
    read: (slices, take, isStopped) => readRecords({ handle, from, file, slices, take, isStopped }),
    close: () => handle.close(),
  }
}

async function statusOf(handle: FileHandle) {
  const status = await handle.stat()
  return { size: status.size, mode: status.mode, uid: status.uid, isRegular: status.isFile() }
}

async function bytesAt(handle: FileHandle, from: number, length: number): Promise<Buffer> {
  const bytes = Buffer.alloc(length)
  let read = 0
  while (read < length) {
    const { bytesRead } = await handle.read(bytes, read, length - read, from + read)
    if (bytesRead === 0) break
    read += bytesRead
  }
  return bytes.subarray(0, read)
}

const PIECE_BYTES = 256 * 1024

interface RecordsReading {
  readonly handle: FileHandle
  readonly from: number
  readonly file: SealedFile & { readonly longest: number }
  readonly slices: Slices
  readonly take: (record: FileRecord) => void
  readonly isStopped: () => boolean
}

async function readRecords({
  handle,
  from,
  file,
  slices,
  take,
  isStopped,
}: RecordsReading): Promise<boolean> {
  let bytes = Buffer.alloc(0)
  let at = 0
  let position = from
  while (!isStopped()) {
    const found = recordAt(bytes, at, file)
    if (found === 'end' || found === 'damaged') return found === 'end'
    if ('record' in found) {
      take(found.record)
      at = found.end
      if (slices.isOver) await slices.rest()
      continue
    }
    const rest = bytes.subarray(at)
    const more = await slices.aside(bytesAt(handle, position, Math.max(PIECE_BYTES, found.needs)))
    if (more.length === 0) return false
    position += more.length
    bytes = Buffer.concat([rest, more])
    at = 0
  }
  return true
}
