/** Lists of models, as `GET /v1/models` has them. A model stays as its server tells of it, whatever members that has. */
import { jsonReply } from '../json/reply.ts'
import { Cursor } from '../json/scan.ts'
import { listed } from '../packed.ts'
import type { ListedModel, Listing } from '../protocol.ts'

const HEAD = Buffer.from('{"object":"list","data":[')
const TAIL = Buffer.from(']}')

export const listing: Listing = {
  path: '/v1/models',
  read: readList,
  list: (models) => jsonReply(200, Buffer.concat([HEAD, listed(models.map(({ text }) => text)), TAIL])),
  one: ({ text }) => jsonReply(200, text),
}

function readList(body: Uint8Array): readonly ListedModel[] | undefined {
  const cursor = new Cursor(body)
  const models: ListedModel[] = []
  let isList = false
  const read = cursor.members((key) => {
    if (key !== 'data') return cursor.skip()
    isList = true
    return cursor.elements(() => {
      const start = cursor.pos
      if (!cursor.skip()) return false
      const text = body.subarray(start, cursor.pos)
      const id = idOf(text)
      if (id !== undefined) models.push({ id, text })
      return true
    })
  })
  return read && isList && cursor.finish() ? models : undefined
}

function idOf(text: Uint8Array): string | undefined {
  const { id } = Object(JSON.parse(Buffer.from(text).toString())) as { id?: unknown }
  return typeof id === 'string' ? id : undefined
}
