import { expect, it } from 'vitest'
import { readMetricsPage } from '../../../../src/control/load/metrics-page.ts'

const PAGES: readonly [string, string, unknown][] = [
  [
    'vLLM, with two engines',
    `# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="m"} 3.0
vllm:num_requests_running{engine="1",model_name="m"} 4.0
vllm:num_requests_waiting{engine="0",model_name="m"} 2.0
vllm:num_requests_waiting_by_reason{engine="0",model_name="m",reason="capacity"} 9.0
vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.25
vllm:kv_cache_usage_perc{engine="1",model_name="m"} 0.5
vllm:time_to_first_token_seconds_bucket{le="0.001",model_name="m"} 0.0
`,
    { running: 7, waiting: 2, utilization: 0.5 },
  ],
  [
    'an older vLLM, with carriage returns and a timestamp',
    'vllm:num_requests_waiting{model_name="a } b"} 1e0 1700000000000\r\nvllm:gpu_cache_usage_perc 1\r\n',
    { waiting: 1, utilization: 1 },
  ],
  [
    'SGLang, whose every rank counts the same calls',
    `sglang:num_running_reqs{tp_rank="0",dp_rank="0"} 2
sglang:num_running_reqs{tp_rank="1",dp_rank="0"} 2
sglang:num_running_reqs{tp_rank="0",dp_rank="1"} 5
sglang:num_queue_reqs{tp_rank="0"} 1
sglang:token_usage{tp_rank="0"} 0.31`,
    { running: 7, waiting: 1, utilization: 0.31 },
  ],
  ['TGI', 'tgi_batch_current_size 6\ntgi_queue_size 11\n', { running: 6, waiting: 11 }],
  [
    'Triton with TensorRT-LLM',
    `nv_trt_llm_request_metrics{model="t",request_type="waiting",version="1"} 1
nv_trt_llm_request_metrics{model="t",request_type="active",version="1"} 4
nv_trt_llm_request_metrics{model="t",request_type="max",version="1"} 512
nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="fraction",model="t",version="1"} 0.1
nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="max",model="t",version="1"} 6239`,
    { running: 4, waiting: 1, utilization: 0.1 },
  ],
  ['Triton', 'nv_inference_pending_request_count{model="m",version="1"} 8\n', { waiting: 8 }],
  ['a cache that is a little over full', 'vllm:kv_cache_usage_perc 1.01\n', { utilization: 1 }],
  ['another server', '# TYPE up gauge\nup 1\n', 'unknown'],
  ['an empty page', '', 'unknown'],
  ['no number', 'tgi_queue_size many\n', 'malformed'],
  ['no value', 'tgi_queue_size\n', 'malformed'],
  ['a negative number', 'tgi_queue_size -1\n', 'malformed'],
  ['infinitely many calls', 'tgi_queue_size +Inf\ntgi_batch_current_size 1\n', 'malformed'],
  ['more calls than anybody has', 'tgi_queue_size 1e300\n', 'malformed'],
  ['a percentage', 'vllm:kv_cache_usage_perc 87\n', 'malformed'],
  ['one good and one bad series', 'tgi_queue_size NaN\ntgi_queue_size 1\n', 'malformed'],
]

it.each(PAGES)('the load is read from the page of %s', (_, page, load) => {
  expect(readMetricsPage(page)).toEqual(load)
})
