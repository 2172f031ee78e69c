/** The requests that wrk sends, in turn, as data; and its script. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { LUA_RESULT } from '../lib/wrk.ts'

export interface Sent {
  readonly path: string
  /** Each `FRESH` in it is another number in each request. */
  readonly body: string
  readonly headers?: Readonly<Record<string, string>>
}

export const FRESH = '@@@@@@@@@@@@@@@'

const EMBEDDINGS = '/v1/embeddings'
const CHAT = '/v1/chat/completions'
const DISTINCT = 100

/** A V1 body of 200 bytes. */
export const v1Hits: readonly Sent[] = Array.from({ length: DISTINCT }, (_, i) => ({
  path: '/v1/models/bench:predict',
  body: `{"instances":[[0.1${String(i).padStart(15, '0')}${',0.55555'.repeat(20)}]]}`,
}))

/** What the official SDKs say of themselves. */
const SDK: Readonly<Record<string, string>> = {
  'User-Agent': 'OpenAI/Python 2.8.1',
  'X-Stainless-Lang': 'python',
  'X-Stainless-Package-Version': '2.8.1',
  'X-Stainless-OS': 'Linux',
  'X-Stainless-Arch': 'x64',
  'X-Stainless-Runtime': 'CPython',
  'X-Stainless-Async': 'false',
  'x-stainless-read-timeout': '600',
}

/** Short texts; every other call is as the kept one was, the others differ in the order of members, in `user`, or in SDK fields. */
export const embeddingHits: readonly Sent[] = Array.from({ length: DISTINCT }, (_, i) => {
  const input = `"a short text of some words, number ${i}"`
  const kept = { path: EMBEDDINGS, body: `{"model":"m","input":${input},"encoding_format":"float"}` }
  return [
    kept,
    { ...kept, body: `{"encoding_format":"float","input":${input},"model":"m"}` },
    kept,
    { ...kept, body: `{"model":"m","input":${input},"encoding_format":"float","user":"u${FRESH}"}` },
    kept,
    { ...kept, headers: { ...SDK, 'x-stainless-retry-count': String(i % 3) } },
  ]
}).flat()

/** No two equal calls have equal bytes: each has another `user`. */
export const embeddingOthers: readonly Sent[] = embeddingHits.filter(({ body }) => body.includes(FRESH))

const chatBody = (content: string, members: string) =>
  `{"model":"m","messages":[{"role":"system","content":"You are a helpful assistant."},{"role":"user","content":"${content}"}],"temperature":0${members}}`

const question = (i: number) => `What is the answer to question number ${i}, in one sentence?`

export const chatHits: readonly Sent[] = Array.from({ length: DISTINCT }, (_, i) => ({
  path: CHAT,
  body: chatBody(question(i), ''),
}))

export const streamHits: readonly Sent[] = Array.from({ length: DISTINCT }, (_, i) => ({
  path: CHAT,
  body: chatBody(question(i), ',"stream":true'),
}))

/** Sampled, so that nobody may keep them. */
export const chatsPassedOn: readonly Sent[] = [
  { path: CHAT, body: chatBody(`Question ${FRESH}?`, '').replace('"temperature":0', '"temperature":1') },
]

/** 64 texts, of which so many come again and again. */
export const batches = (known: number): readonly Sent[] => {
  const texts = Array.from({ length: 64 }, (_, i) =>
    i < known ? `"known text ${i}"` : `"new text ${FRESH}${i}"`,
  )
  return [{ path: EMBEDDINGS, body: `{"model":"m","input":[${texts.join()}],"encoding_format":"float"}` }]
}

/** Writes the script for wrk and gives its path. */
export function scriptFor(folder: string, name: string, sent: readonly Sent[]): string {
  const file = join(folder, `${name}.lua`)
  writeFileSync(file, luaOf(sent))
  return file
}

/** ASCII without control characters is written alike in JSON and in Lua. */
const lua = (text: string): string => JSON.stringify(text)

// Each run has a number of its own, from which what must be another in each request counts.
function luaOf(sent: readonly Sent[]): string {
  const given = sent.map(({ path, body, headers = {} }) => {
    const fields = Object.entries({ 'Content-Type': 'application/json', Host: 'bench', ...headers })
    const table = fields.map(([field, value]) => `[${lua(field)}]=${lua(value)}`).join()
    return `{${lua(path)},${lua(body)},{${table}}}`
  })
  return `local given = {${given.join(',\n')}}
local FRESH = "${FRESH}"
local requests, at, fresh = {}, 0, 0
local function cut(text)
  local pieces, from = {}, 1
  while true do
    local a, b = string.find(text, FRESH, from, true)
    pieces[#pieces + 1] = string.sub(text, from, a and a - 1)
    if not a then return pieces end
    from = b + 1
  end
end
function init(args)
  fresh = tonumber(args[1] or args[2] or 1) * 1e9
  for i, one in ipairs(given) do requests[i] = cut(wrk.format("POST", one[1], one[3], one[2])) end
end
function request()
  at = at % #requests + 1
  local pieces = requests[at]
  if #pieces == 1 then return pieces[1] end
  local text = pieces[1]
  for i = 2, #pieces do
    fresh = fresh + 1
    text = text .. string.format("%015d", fresh) .. pieces[i]
  end
  return text
end
${LUA_RESULT}`
}
