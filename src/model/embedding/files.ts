/**
 * The files that lie beside an encoder: its tokenizer, and what Hugging Face's libraries write of how it is to be used. They
 * are a part of the model: another tokenizer gives other vectors, so their bytes are in its digest.
 */
import { stat } from 'node:fs/promises'
import { dirname, join, sep } from 'node:path'
import { reasonOf } from '../error.ts'

const TOKENIZER = 'tokenizer.json'
/** The first of two ends that fit a path is its name. */
const NAMES = [
  TOKENIZER,
  'tokenizer_config.json',
  '1_Pooling/config.json',
  'config.json',
  'modules.json',
  'sentence_bert_config.json',
] as const

export type FileName = (typeof NAMES)[number]

/** Larger than any vocabulary in use: the largest have some 35 MB. */
const MAX_FILE_BYTES = 64 * 1024 * 1024

/** The paths of those files that are there: beside the model, or in the folder above, where repositories of models have them. */
export async function companionFiles(model: string): Promise<readonly string[]> {
  const beside = dirname(model)
  for (const folder of [beside, dirname(beside)]) {
    const found = await Promise.all(NAMES.map((name) => isFile(join(folder, name))))
    if (found[0]) return NAMES.filter((_, i) => found[i]).map((name) => join(folder, name))
  }
  return []
}

const isFile = (path: string): Promise<boolean> =>
  stat(path).then(
    (found) => found.isFile(),
    () => false,
  )

export type JsonRecord = Readonly<Record<string, unknown>>

/** By name, what each file holds; those that are not there are left out. */
export type EncoderFiles = ReadonlyMap<FileName, unknown>

/** Throws an Error that names the file which is too long, or is not JSON, and one that says what is missing. */
export function parseCompanions(read: ReadonlyMap<string, Uint8Array>): EncoderFiles {
  const files = new Map<FileName, unknown>()
  for (const [path, bytes] of read) {
    const name = NAMES.find((each) => path.endsWith(`${sep}${join(each)}`))
    if (name) files.set(name, parse(path, bytes))
  }
  if (!files.has(TOKENIZER))
    throw new Error(`an embedding model needs its ${TOKENIZER} beside it, or in the folder above`)
  return files
}

function parse(path: string, bytes: Uint8Array): unknown {
  if (bytes.length > MAX_FILE_BYTES) throw new Error(`${path} is longer than ${MAX_FILE_BYTES} bytes`)
  try {
    return JSON.parse(Buffer.from(bytes).toString()) as unknown
  } catch (cause) {
    throw new Error(`${path} is not JSON: ${reasonOf(cause)}`, { cause })
  }
}

/** An object of a file, for what is read of it member by member; empty where it is none. */
export function recordOf(value: unknown): JsonRecord {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as JsonRecord) : {}
}
