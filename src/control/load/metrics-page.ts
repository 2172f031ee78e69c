/**
 * Reads a backend's load from its metrics page in Prometheus's text form. Of a page of thousands of lines a dozen matter, so
 * it is scanned for their names and not parsed into series.
 */
import { type BackendLoad, checkedLoad, type LoadFault } from '../../core/backend-load.ts'

interface Known {
  readonly fact: keyof BackendLoad
  /** The label, with its value, that a series must have to be the one. */
  readonly only?: string
}

/** The gauges of vLLM, SGLang, TGI, Triton (with TensorRT-LLM and without) and llama.cpp. */
const KNOWN: ReadonlyMap<string, readonly Known[]> = new Map([
  ['vllm:num_requests_running', [{ fact: 'running' }]],
  ['vllm:num_requests_waiting', [{ fact: 'waiting' }]],
  ['vllm:kv_cache_usage_perc', [{ fact: 'utilization' }]],
  ['vllm:gpu_cache_usage_perc', [{ fact: 'utilization' }]],
  ['sglang:num_running_reqs', [{ fact: 'running' }]],
  ['sglang:num_queue_reqs', [{ fact: 'waiting' }]],
  ['sglang:token_usage', [{ fact: 'utilization' }]],
  ['tgi_batch_current_size', [{ fact: 'running' }]],
  ['tgi_queue_size', [{ fact: 'waiting' }]],
  ['nv_inference_pending_request_count', [{ fact: 'waiting' }]],
  ['trtllm_num_requests_waiting', [{ fact: 'waiting' }]],
  [
    'nv_trt_llm_request_metrics',
    [
      { fact: 'running', only: 'request_type="active"' },
      { fact: 'waiting', only: 'request_type="waiting"' },
    ],
  ],
  ['nv_trt_llm_kv_cache_block_metrics', [{ fact: 'utilization', only: 'kv_cache_block_type="fraction"' }]],
  ['llamacpp:requests_processing', [{ fact: 'running' }]],
  ['llamacpp:requests_deferred', [{ fact: 'waiting' }]],
  ['llamacpp:kv_cache_usage_ratio', [{ fact: 'utilization' }]],
])

/** Every rank of an engine that is spread over several devices counts the same calls: only the first of them is read. */
const FURTHER_RANK = /\b[tp]p_rank="(?!0")/

/**
 * The load that the page states, over all its models and engines: their calls add up, and of the utilizations the highest
 * counts. Otherwise why it states none.
 */
export function readMetricsPage(page: string): BackendLoad | LoadFault {
  const sums: Sums = {}
  for (let at = 0; at < page.length; ) {
    const end = page.indexOf('\n', at)
    const stop = end < 0 ? page.length : end
    const first = page.charCodeAt(at)
    // A comment, a space or an empty line: nothing of ours.
    if (first > 0x23) add(sums, page.slice(at, stop))
    at = stop + 1
  }
  return checkedLoad(sums)
}

type Sums = { -readonly [Fact in keyof BackendLoad]: number }

/** `name{label="value",…} number [timestamp]`, the labels left out where there are none. */
const LINE = /^([A-Za-z_:][\w:]*)(?:\{(.*)\})?[ \t]+(\S+)/

function add(sums: Sums, line: string): void {
  const name = line.slice(0, line.search(/[{ \t]|$/))
  const known = KNOWN.get(name)
  if (!known) return
  const [, , labels = '', text = ''] = LINE.exec(line) ?? []
  if (FURTHER_RANK.test(labels)) return
  for (const { fact, only } of known) {
    if (only !== undefined && !labels.includes(only)) continue
    const value = text === '' ? Number.NaN : Number(text)
    const before = sums[fact] ?? 0
    // What is no number stays none, and the whole report is refused for it.
    sums[fact] = fact === 'utilization' ? Math.max(before, value) : before + value
  }
}
