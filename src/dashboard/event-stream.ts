/** Reads server-sent events from a response. `EventSource` sends no Authorization, hence not that. */

/**
 * Calls `event` with each event's kind and data, and `alive` whenever anything has come. Resolves when the stream ends;
 * rejects as it does.
 */
export async function readEvents(
  body: ReadableStream<Uint8Array>,
  { event, alive }: { event(kind: string, data: unknown): void; alive(): void },
): Promise<void> {
  const reader = body.pipeThrough(new TextDecoderStream() as TransformStream<Uint8Array, string>).getReader()
  let rest = ''
  for (;;) {
    const { done, value } = await reader.read()
    if (done) return
    alive()
    const blocks = (rest + value).split('\n\n')
    rest = blocks.pop() ?? ''
    for (const block of blocks) {
      const field = (name: string) => new RegExp(`^${name}: (.*)$`, 'm').exec(block)?.[1]
      const data = field('data')
      if (data !== undefined) event(field('event') ?? 'message', JSON.parse(data))
    }
  }
}
