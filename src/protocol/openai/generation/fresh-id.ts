/**
 * Writes an id of its own on an answer that was given before: clients tell answers apart by it, and so do those who account
 * for them.
 */
import { freshId } from '../../../core/own-id.ts'

/** The id as the first member, as most servers write it. */
const FIRST = /^[^"]*\{\s*("id"\s*:\s*")([\w-]{1,128})"/
const ANY = /("id"\s*:\s*")([\w-]{1,128})"/g

/** A text, and the id that was written into it; undefined: it had none. */
export interface Identified {
  readonly text: string
  readonly ownId: string | undefined
}

/**
 * The text with another id in place of its own, wherever that stands as a member of this name. What is within a string does not
 * look like one, since its quotes are escaped. `first`: the part of the text that has the id.
 */
export function withFreshId(text: string, first: string, idOf: (first: string) => unknown): Identified {
  const [, before, id] = FIRST.exec(first) ?? spelledId(first, idOf(first)) ?? []
  if (before === undefined || id === undefined) return { text, ownId: undefined }
  const ownId = freshId(id)
  return { text: text.replaceAll(`${before}${id}"`, `${before}${ownId}"`), ownId }
}

function spelledId(first: string, id: unknown): readonly (string | undefined)[] | undefined {
  if (typeof id !== 'string') return undefined
  for (const found of first.matchAll(ANY)) if (found[2] === id) return found
  return undefined
}
