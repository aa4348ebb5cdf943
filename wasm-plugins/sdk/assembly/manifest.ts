/**
 * What `describe` tells of a plugin, put together at the start, and the metrics it declares:
 *
 *     const manifest = new Manifest('sample', '1.0.0', 'Counts statements')
 *     const seen = manifest.counter('seen_total', 'Statements seen', 'kind')
 *     manifest.hook('onTrafficFromClient', 'Query,Parse')
 *     export function describe(): i32 { return manifest.output() }
 */
import { Bytes } from './bytes'
import { metric, output } from './host'
import { Json } from './json'
import { lengthOf, ptrOf, Slice } from './slice'

/** Writes each item of a list divided by commas as a JSON string. */
function writeList(json: Json, list: string): void {
  json.array()
  const items = list.split(',')
  for (let at = 0; at < items.length; at++) {
    const item = items[at].trim()
    if (item.length > 0) json.text(item)
  }
  json.endArray()
}

@final
export class Manifest {
  private hooks: Json = new Json().array()
  private metrics: Json = new Json().array()
  private metricCount: i32 = 0
  private schema: string = '{"type":"object","additionalProperties":false}'
  private required: Json = new Json().array()
  private tagList: string = ''
  private authorList: string = ''
  private licenseName: string = ''
  private url: string = ''
  private workersMax: i32 = 0
  private isLocal: bool = false

  constructor(
    private readonly name: string,
    private readonly version: string,
    private readonly description: string,
  ) {}

  /** A hook that the module exports, in the host's writing: `onClosed`. */
  hook(name: string): this {
    this.hooks.object().key('name').text(name).endObject()
    return this
  }

  /**
   * A hook of traffic. `messages` are names divided by commas, "" for all; `unit` is `message`,
   * `batch` or `reply`.
   */
  traffic(name: string, messages: string = '', unit: string = 'message'): this {
    this.hooks.object().key('name').text(name).key('unit').text(unit)
    if (messages.length > 0) {
      this.hooks.key('messages')
      writeList(this.hooks, messages)
    }
    this.hooks.endObject()
    return this
  }

  /** A count that only grows. `labels` are names divided by commas. */
  counter(name: string, help: string, labels: string = ''): Metric {
    return this.metric(name, 'counter', help, labels, '')
  }

  /** A value that goes up and down. */
  gauge(name: string, help: string, labels: string = ''): Metric {
    return this.metric(name, 'gauge', help, labels, '')
  }

  /** Values sorted into buckets; their upper bounds divided by commas, "" for the host's own. */
  histogram(name: string, help: string, labels: string = '', buckets: string = ''): Metric {
    return this.metric(name, 'histogram', help, labels, buckets)
  }

  private metric(name: string, type: string, help: string, labels: string, bounds: string): Metric {
    const json = this.metrics.object()
    json.key('name').text(name).key('type').text(type).key('help').text(help).key('labels')
    writeList(json, labels)
    if (bounds.length > 0) json.key('buckets').literal('[' + bounds + ']')
    json.endObject()
    return new Metric(this.metricCount++)
  }

  /** The JSON Schema of the entry's `config`. */
  config(schema: string): this {
    this.schema = schema
    return this
  }

  /** Another plugin that must be there. */
  requires(name: string, version: string): this {
    this.required.object().key('name').text(name).key('version').text(version).endObject()
    return this
  }

  /** Divided by commas, as `authors`. */
  tags(list: string): this {
    this.tagList = list
    return this
  }

  authors(list: string): this {
    this.authorList = list
    return this
  }

  license(name: string): this {
    this.licenseName = name
    return this
  }

  projectUrl(url: string): this {
    this.url = url
    return this
  }

  /**
   * With how many workers of a gateway it does what it promises: what it keeps is seen by the
   * sessions of one worker only. A gateway with more refuses it; not called: any number will do.
   */
  workers(most: i32): this {
    this.workersMax = most
    return this
  }

  /** What `kv…` keeps stays in this process, also where the gateway shares such data. */
  localStore(): this {
    this.isLocal = true
    return this
  }

  /** Outputs all of it; returns what `describe` must return. */
  output(): i32 {
    const json = new Json().object().key('abi').integer(1)
    json.key('name').text(this.name).key('version').text(this.version)
    json.key('description').text(this.description).key('license').text(this.licenseName)
    json.key('projectUrl').text(this.url).key('authors')
    writeList(json, this.authorList)
    json.key('tags')
    writeList(json, this.tagList)
    if (this.workersMax > 0) json.key('workers').integer(this.workersMax)
    json.key('hooks').raw(this.hooks.slice).endArray()
    json.key('requires').raw(this.required.slice).endArray()
    json.key('metrics').raw(this.metrics.slice).endArray()
    if (this.isLocal) json.key('store').text('local')
    json.key('config').literal(this.schema).endObject()
    output(json.bytes)
    return 0
  }
}

const labels = new Bytes()
/** What is told of a label's value; names in PostgreSQL have 63 at most. */
const LABEL_BYTES_MAX: i32 = 256

/** A metric of the manifest. With labels: `metric.label(kind).label(user).add(1)`. */
@final
export class Metric {
  constructor(private readonly id: i32) {}

  /** A label's value for the next record, in the order of the manifest. */
  label(value: Slice): this {
    begun()
    const ptr = ptrOf(value)
    const length = min(lengthOf(value), LABEL_BYTES_MAX)
    for (let at = 0; at < length; at++) {
      const byte = load<u8>(ptr + at)
      // A line feed divides labels.
      labels.byte(byte == 0x0a ? 0x20 : byte)
    }
    return this
  }

  labelText(value: string): this {
    begun()
    labels.text(value)
    return this
  }

  /** Adds to a counter, sets a gauge, observes for a histogram. */
  add(value: f64 = 1): void {
    metric(this.id, value, labels.ptr, labels.length)
    labels.clear()
    isFirst = true
  }
}

let isFirst: bool = true

function begun(): void {
  if (!isFirst) labels.byte(0x0a)
  isFirst = false
}
