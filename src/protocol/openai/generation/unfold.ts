/**
 * Makes events of an answer that is kept in one piece, in pieces as a model makes them. An answer with a member that has no
 * known place in a stream is not put into this form.
 */
import { type ExactObject, isList, isObject, type Json, says } from './exact-json.ts'
import type { GenerationKind } from './rules.ts'

const COMMON = ['id', 'object', 'created', 'model', 'system_fingerprint', 'service_tier']
const OF_ANSWER = new Set([...COMMON, 'choices', 'usage'])
const ENDINGS = ['finish_reason', 'stop_reason', 'matched_stop']
const OF_CHOICE = new Set([...ENDINGS, 'index', 'message', 'text', 'logprobs'])
/** In the order in which a model writes them. */
const TEXTS = ['reasoning_content', 'reasoning', 'content', 'refusal']
const OF_MESSAGE = new Set([...TEXTS, 'role', 'tool_calls', 'function_call', 'annotations'])

/** The chunks that an answer is made of, in order; undefined: there are none that say all of it. */
export function chunksOf(
  kind: Exclude<GenerationKind, 'responses'>,
  answer: ExactObject,
  withUsage: boolean,
): readonly ExactObject[] | undefined {
  const { choices, usage } = answer
  if (!isList(choices) || !hasOnly(answer, OF_ANSWER)) return undefined
  const head: Record<string, Json> = {}
  for (const name of COMMON) if (answer[name] !== undefined) head[name] = answer[name]
  if (kind === 'chat') head['object'] = 'chat.completion.chunk'
  const chunks: ExactObject[] = []
  for (const choice of choices) {
    const parts = isObject(choice) && hasOnly(choice, OF_CHOICE) ? partsOf(kind, choice) : undefined
    if (!parts) return undefined
    for (const part of parts) chunks.push({ ...head, choices: [part], ...(withUsage ? { usage: null } : {}) })
  }
  if (withUsage && usage !== undefined) chunks.push({ ...head, choices: [], usage })
  return chunks
}

function partsOf(kind: GenerationKind, choice: ExactObject): readonly ExactObject[] | undefined {
  const index = choice['index'] ?? 0
  const endings: Record<string, Json> = { finish_reason: null }
  for (const name of ENDINGS) if (choice[name] !== undefined) endings[name] = choice[name]
  const last = { index, ...(kind === 'chat' ? { delta: {} } : { text: '' }), logprobs: null, ...endings }
  const said = kind === 'chat' ? deltasOf(choice) : textsOf(choice)
  return said && [...said.map((one) => ({ index, ...one, finish_reason: null })), last]
}

/** What comes before the end of a choice of a text completion. */
function textsOf({ text, logprobs }: ExactObject): readonly ExactObject[] | undefined {
  if (typeof text !== 'string') return undefined
  // The lists of these log probabilities are not cut: servers differ in what their offsets count.
  if (says(logprobs)) return [{ text, logprobs }]
  return piecesOf(text).map((piece) => ({ text: piece, logprobs: null }))
}

/** What comes before the end of a choice of a chat. */
function deltasOf({ message, logprobs = null }: ExactObject): readonly ExactObject[] | undefined {
  if (!isObject(message) || !hasOnly(message, OF_MESSAGE)) return undefined
  const { role = 'assistant', content = null, annotations, function_call, tool_calls } = message
  const first: Record<string, Json> = { role, content: typeof content === 'string' ? '' : null }
  if (message['refusal'] === null) first['refusal'] = null
  const parts: ExactObject[] = [{ delta: first, logprobs: null }]
  for (const name of TEXTS) {
    const text = message[name]
    if (!says(text)) continue
    if (typeof text !== 'string') return undefined
    parts.push(...withLogprobs(name, text, logprobs))
  }
  // Those of a text that the message does not have.
  if (says(logprobs) && !parts.some((part) => says(part['logprobs']))) parts.push({ delta: {}, logprobs })
  if (isList(annotations) && annotations.length > 0) parts.push({ delta: { annotations }, logprobs: null })
  if (says(function_call) && !isObject(function_call)) return undefined
  if (isObject(function_call))
    parts.push(...callParts(function_call).map((part) => delta('function_call', part)))
  const calls = toolCalls(tool_calls)
  return calls && [...parts, ...calls.map((call) => delta('tool_calls', [call]))]
}

function delta(name: string, value: Json): ExactObject {
  return { delta: { [name]: value }, logprobs: null }
}

/** The deltas of a text: a token each, with its log probability, where those are given; else a word each. */
function withLogprobs(name: string, text: string, logprobs: Json): readonly ExactObject[] {
  const tokens = isObject(logprobs) ? logprobs[name] : undefined
  if (!isList(tokens) || tokens.length === 0) return piecesOf(text).map((piece) => delta(name, piece))
  const texts = tokens
    .map((token) => (isObject(token) ? token['token'] : undefined))
    .filter((token) => typeof token === 'string')
  // Tokens that are parts of characters do not add up to the text.
  if (
    texts.length < tokens.length ||
    texts.join('') !== text ||
    Object.keys(logprobs as ExactObject).some((other) => hasOther(logprobs, name, other))
  )
    return [{ delta: { [name]: text }, logprobs }]
  return tokens.map((token, i) => ({
    delta: { [name]: texts[i] as string },
    logprobs: { ...(logprobs as ExactObject), [name]: [token] },
  }))
}

function hasOther(logprobs: Json, name: string, other: string): boolean {
  return other !== name && says((logprobs as ExactObject)[other])
}

/** The parts of the calls of tools; undefined: one has a member that is not known. */
function toolCalls(calls: Json | undefined): readonly ExactObject[] | undefined {
  if (!says(calls)) return []
  if (!isList(calls)) return undefined
  const parts: ExactObject[] = []
  for (const [index, call] of calls.entries()) {
    if (!isObject(call)) return undefined
    const { function: named, custom, ...others } = call
    if (Object.keys(others).some((name) => name !== 'id' && name !== 'type' && name !== 'index'))
      return undefined
    const [name, said] = isObject(named) ? ['function', named] : ['custom', custom]
    if (!isObject(said)) return undefined
    const [first = {}, ...more] = callParts(said)
    parts.push({ ...others, index, [name]: first })
    for (const part of more) parts.push({ index, [name]: part })
  }
  return parts
}

/** A call of a tool, piece by piece: the name first, then its arguments. */
function callParts(call: ExactObject): readonly ExactObject[] {
  const name = typeof call['input'] === 'string' ? 'input' : 'arguments'
  const text = call[name]
  if (typeof text !== 'string') return [call]
  return [{ ...call, [name]: '' }, ...piecesOf(text).map((piece) => ({ [name]: piece }))]
}

/** A text in words, as long as tokens are: cut between characters, and never within one. */
export function piecesOf(text: string): readonly string[] {
  return text.match(/\s?\S{1,12}|\s+/gu) ?? []
}

function hasOnly(object: ExactObject, names: ReadonlySet<string>): boolean {
  return Object.keys(object).every((name) => names.has(name) || !says(object[name]))
}
