/** Long bodies of every kind, made of one block repeated, so that whoever sends them does not hold them. */
export interface Long {
  readonly head: Buffer
  readonly block: Buffer
  readonly times: number
  readonly tail: Buffer
}

/** A kind of request and the answer to it. */
export interface Kind {
  readonly name: string
  readonly path: string
  readonly type: string
  readonly body: (bytes: number) => Long
  /** Of the JSON part, for requests with binary tensors. */
  readonly jsonBytes?: (bytes: number) => number
  readonly answer: (bytes: number) => Long
}

const BLOCK_BYTES = 64 << 10

function long(head: string, block: Buffer, bytes: number, tail: string): Long {
  return {
    head: Buffer.from(head),
    block,
    times: Math.max(1, Math.round(bytes / block.length)),
    tail: Buffer.from(tail),
  }
}

export function sizeOf({ head, block, times, tail }: Long): number {
  return head.length + block.length * times + tail.length
}

export function* piecesOf({ head, block, times, tail }: Long): Generator<Buffer, void> {
  if (head.length > 0) yield head
  for (let i = 0; i < times; i++) yield block
  if (tail.length > 0) yield tail
}

/** Rows of 54 floats with a comma behind each, as `json.dumps` writes them. */
function rows(): Buffer {
  let text = ''
  for (let i = 0; text.length < BLOCK_BYTES; i++)
    text += `[${Array.from({ length: 54 }, (_, j) => Math.sin(i * 54 + j)).join(', ')}], `
  return Buffer.from(text)
}

const ROWS = rows()
const LAST_ROW = `[${'0.5, '.repeat(53)}0.5]`
const RAW = Buffer.alloc(BLOCK_BYTES, 'the quick brown fox ')
const rowsIn = (times: number) => times * (ROWS.toString().split('], ').length - 1) + 1

const predictions = (bytes: number) => long('{"predictions": [', ROWS, bytes, `${LAST_ROW}]}`)
const outputs = (bytes: number) => {
  const { times } = long('', ROWS, bytes, '')
  const head = `{"model_name":"m","outputs":[{"name":"y","datatype":"FP64","shape":[${rowsIn(times)},54],"data":[`
  return long(head, ROWS, bytes, `${LAST_ROW}]}]}`)
}

const binaryHead = (bytes: number) => {
  const blob = Math.round(bytes / BLOCK_BYTES) * BLOCK_BYTES
  return `{"inputs":[{"name":"x","datatype":"FP32","shape":[${blob / 1024},256],"parameters":{"binary_data_size":${blob}}}]}`
}

export const KINDS: readonly Kind[] = [
  {
    name: 'V1',
    path: '/v1/models/m:predict',
    type: 'application/json',
    body: (bytes) => long('{"signature_name": "s", "instances": [', ROWS, bytes, `${LAST_ROW}]}`),
    answer: predictions,
  },
  {
    name: 'V2 JSON',
    path: '/v2/models/m/infer',
    type: 'application/json',
    body: (bytes) => {
      const { times } = long('', ROWS, bytes, '')
      const head = `{"inputs": [{"name": "x", "datatype": "FP32", "shape": [${rowsIn(times)}, 54], "data": [`
      return long(head, ROWS, bytes, `${LAST_ROW}]}]}`)
    },
    answer: outputs,
  },
  {
    name: 'V2 binary',
    path: '/v2/models/m/infer',
    type: 'application/octet-stream',
    body: (bytes) => long(binaryHead(bytes), Buffer.alloc(BLOCK_BYTES, 1), bytes, ''),
    jsonBytes: (bytes) => binaryHead(bytes).length,
    answer: outputs,
  },
  {
    name: 'opaque, cached',
    path: '/kept',
    type: 'application/octet-stream',
    body: (bytes) => long('', RAW, bytes, ''),
    answer: (bytes) => long('', RAW, bytes, ''),
  },
  {
    name: 'opaque, not cached',
    path: '/passed',
    type: 'application/octet-stream',
    body: (bytes) => long('', RAW, bytes, ''),
    answer: (bytes) => long('', RAW, bytes, ''),
  },
]

/** Bodies that are made to hurt: nothing here may take long at a time, or memory without bound. */
export const HOSTILE: readonly (readonly [name: string, body: (bytes: number) => Long])[] = [
  ['open brackets', (bytes) => long('', Buffer.alloc(BLOCK_BYTES, '['), bytes, '')],
  ['open objects', (bytes) => long('', Buffer.alloc(BLOCK_BYTES - 4, '{"a":'), bytes, '')],
  ['one number', (bytes) => long('{"instances":[', Buffer.alloc(BLOCK_BYTES, '1'), bytes, ']}')],
  ['one string', (bytes) => long('{"instances":["', Buffer.alloc(BLOCK_BYTES, 'x'), bytes, '"]}')],
  ['escapes', (bytes) => long('{"instances":["', Buffer.alloc(BLOCK_BYTES - 4, '\\u0041'), bytes, '"]}')],
  ['tiny rows', (bytes) => long('{"instances":[', Buffer.alloc(BLOCK_BYTES, '1,'), bytes, '1]}')],
  [
    'objects out of order',
    (bytes) => long('{"instances":[', Buffer.from('{"b":1,"a":2},'.repeat(4681)), bytes, '1]}'),
  ],
  [
    'one object',
    (bytes) => long('{"instances":[{"a":[', Buffer.from('0.123456,'.repeat(7281)), bytes, '1],"A":1}]}'),
  ],
  ['white space', (bytes) => long('{"instances":[', Buffer.alloc(BLOCK_BYTES, ' '), bytes, '1]}')],
]
