/**
 * A server of the Open Inference Protocol over gRPC, by grpc-js: the model `double` gives each value of `x` twice, row by row, and
 * refuses a 13. It answers as it was asked: raw contents for raw ones, as KServe's does.
 */
import grpc from '@grpc/grpc-js'
import { decoded, encoded, type Message, type MessageName } from './oip-messages.ts'

export interface OipServer {
  readonly url: string
  /** The rows of each inference, in order. */
  readonly asked: number[]
  /** Inferences that have begun. */
  readonly begun: number
  /** Inferences that their callers have given up. */
  readonly cancelled: number
  /** Milliseconds before each answer. */
  delayMs: number
  close(): void
}

const SERVICE = '/inference.GRPCInferenceService/'

function method(name: string, request: MessageName, response: MessageName, isStream = false) {
  return {
    path: SERVICE + name,
    requestStream: isStream,
    responseStream: isStream,
    requestSerialize: (message: Message) => encoded(request, message),
    requestDeserialize: (bytes: Buffer) => decoded(request, bytes),
    responseSerialize: (message: Message) => encoded(response, message),
    responseDeserialize: (bytes: Buffer) => decoded(response, bytes),
  }
}

/** Also for clients: `grpc.makeGenericClientConstructor`. */
export const METHODS = {
  ModelInfer: method('ModelInfer', 'ModelInferRequest', 'ModelInferResponse'),
  // Its answers are framed in another message; here each is as that of ModelInfer.
  ModelStreamInfer: method('ModelStreamInfer', 'ModelInferRequest', 'ModelInferResponse', true),
  ServerReady: method('ServerReady', 'ModelMetadataRequest', 'ModelReadyResponse'),
}

/** `isAlwaysRaw`: typed values are answered raw too, as Triton does. */
export async function startOipServer({ isAlwaysRaw = false } = {}): Promise<OipServer> {
  const asked: number[] = []
  let begun = 0
  let cancelled = 0
  let delayMs = 0
  const server = new grpc.Server()
  server.addService(METHODS, {
    ModelInfer(call: grpc.ServerUnaryCall<Message, Message>, answer: grpc.sendUnaryData<Message>) {
      begun++
      call.on('cancelled', () => cancelled++)
      setTimeout(() => {
        if (call.cancelled) return
        try {
          const { message, rows } = doubled(call.request, isAlwaysRaw)
          asked.push(rows)
          answer(null, message)
        } catch (error) {
          answer({ code: grpc.status.INVALID_ARGUMENT, details: (error as Error).message })
        }
      }, delayMs)
    },
    ModelStreamInfer(call: grpc.ServerDuplexStream<Message, Message>) {
      call.on('data', (request: Message) => call.write(doubled(request, isAlwaysRaw).message))
      call.on('end', () => call.end())
    },
    ServerReady(_call: unknown, answer: grpc.sendUnaryData<Message>) {
      answer(null, { ready: true })
    },
  })
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    ),
  )
  return {
    url: `http://127.0.0.1:${port}`,
    asked,
    get begun() {
      return begun
    },
    get cancelled() {
      return cancelled
    },
    get delayMs() {
      return delayMs
    },
    set delayMs(ms) {
      delayMs = ms
    },
    close: () => server.forceShutdown(),
  }
}

interface Tensor {
  readonly name: string
  readonly shape: readonly string[]
  readonly contents: { readonly fp32_contents: readonly number[] } | null
}

function doubled(request: Message, isAlwaysRaw: boolean): { message: Message; rows: number } {
  const [x] = request['inputs'] as Tensor[]
  const [raw] = request['raw_input_contents'] as Buffer[]
  if (!x) throw new Error('no input')
  const values = raw ? floatsIn(raw) : [...(x.contents?.fp32_contents ?? [])]
  if (values.includes(13)) throw new Error('13 is refused: ä')
  const out = values.map((value) => 2 * value)
  const isRaw = isAlwaysRaw || raw !== undefined
  const y = { name: 'y', datatype: 'FP32', shape: x.shape }
  const message = {
    model_name: request['model_name'],
    model_version: '1',
    id: request['id'],
    outputs: [isRaw ? y : { ...y, contents: { fp32_contents: out } }],
    raw_output_contents: isRaw ? [Buffer.from(new Float32Array(out).buffer)] : [],
  }
  return { message, rows: Number(x.shape[0]) }
}

function floatsIn(bytes: Uint8Array): number[] {
  const copy = Uint8Array.from(bytes)
  return [...new Float32Array(copy.buffer)]
}
