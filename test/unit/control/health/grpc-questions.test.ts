/** What is asked over gRPC in place of REST's paths, and answers in the words of REST. */
import { describe, expect, it } from 'vitest'
import { readIndex, readMetadata, readStatus } from '../../../../src/control/deployments/version-answer.ts'
import { grpcQuestions, httpStatusOf } from '../../../../src/control/health/grpc-questions.ts'
import { MessageReader } from '../../../../src/protocol/protobuf/reader.ts'
import { MessageWriter, varintOf } from '../../../../src/protocol/protobuf/writer.ts'

const only = (path: string) => {
  const [question, ...more] = grpcQuestions(path)
  expect(more).toEqual([])
  return question ?? expect.unreachable()
}
const answered = (path: string, message: MessageWriter) => ({
  kind: 'status' as const,
  ...only(path).translate(message.join()),
})
const tensor = (name: string, type: string, ...shape: (number | bigint)[]) =>
  new MessageWriter()
    .text(1, name)
    .text(2, type)
    .bytes(3, Buffer.from(shape.flatMap(varintOf)))

describe('the metadata of a model', () => {
  it('are asked by its name', () => {
    const { method, message } = only('/v2/models/a%2Fb')
    expect(method).toBe('/inference.GRPCInferenceService/ModelMetadata')
    const reader = new MessageReader(message)
    expect(reader.next() && Buffer.from(reader.bytes()).toString()).toBe('a/b')
  })

  it('name its versions', () => {
    const message = new MessageWriter().text(1, 'm').text(2, '2').text(2, '1').text(3, 'onnx')
    expect(readMetadata(answered('/v2/models/m', message))).toEqual({ kind: 'offers', offers: ['1@', '2@'] })
  })

  it('tell models without versions apart by what goes in and out, as those of REST do', () => {
    const body = JSON.stringify({
      name: 'm',
      versions: [],
      inputs: [{ name: 'x', datatype: 'FP32', shape: [-1, 300] }],
      outputs: [{ name: 'y', datatype: 'INT64', shape: [-1] }],
    })
    const message = new MessageWriter()
      .text(1, 'm')
      .message(4, tensor('x', 'FP32', -1, 300))
      // Not packed, which is as good.
      .message(5, new MessageWriter().text(1, 'y').text(2, 'INT64').varint(3, -1n))
    const overGrpc = readMetadata(answered('/v2/models/m', message))
    expect(overGrpc).toMatchObject({ kind: 'unversioned' })
    expect(overGrpc).toEqual(readMetadata({ kind: 'status', status: 200, body }))
  })
})

it('the versions of TensorFlow Serving are those that are available, by label too', () => {
  const one = (version: number, state: number) => new MessageWriter().varint(1, version).varint(2, state)
  const message = new MessageWriter().message(1, one(3, 30)).message(1, one(4, 20)).message(1, one(12, 30))
  for (const path of ['/v1/models/m', '/v1/models/m/labels/stable'])
    expect(readStatus(answered(path, message))).toEqual({ kind: 'offers', offers: ['12@', '3@'] })
  expect(Buffer.from(only('/v1/models/m/labels/stable').message).includes('stable')).toBe(true)
})

it('the index of a repository names versions and states', () => {
  const one = (...texts: string[]) => {
    const writer = new MessageWriter()
    for (const [i, text] of texts.entries()) writer.text(i + 1, text)
    return writer
  }
  const message = new MessageWriter()
    .message(1, one('m', '2', 'READY'))
    .message(1, one('m', '3', 'UNAVAILABLE'))
  expect(readIndex(answered('/v2/repository/index', message), 'm', '')).toEqual({
    kind: 'offers',
    offers: ['2@'],
  })
})

it('readiness is the health service, or the protocol by itself; a path of REST has no other counterpart', () => {
  const methods = (path: string) => grpcQuestions(path).map(({ method }) => method)
  expect(methods('/v2/health/ready')).toEqual([
    '/grpc.health.v1.Health/Check',
    '/inference.GRPCInferenceService/ServerReady',
  ])
  expect(methods('/my.v1.Service/Alive')).toEqual(['/my.v1.Service/Alive'])
  for (const path of ['/v1/models/m/metadata', '/models/m', '/health', '/a/b/c'])
    expect(methods(path)).toEqual([])
})

it('a status of gRPC means what the like of HTTP means', () => {
  expect([3, 5, 12, 14, 2, 13, 99].map(httpStatusOf)).toEqual([400, 404, 501, 503, 500, 500, 500])
})
