/** What a plugin says of itself in its answer to GetPluginConfig. */
import { GatewayError } from '../../base/errors.ts'
import { type HookName, hookNumbered } from '../../hooks/hook.ts'
import type { PluginManifest } from '../plugin.ts'
import { isStruct, type Struct, type Value } from './struct.ts'

export interface Description {
  readonly manifest: PluginManifest
  /** The hooks that may be called; others crash plugins of GatewayD's own library. */
  readonly hooks: readonly HookName[]
}

/** Names come from a plugin where its entry has none; they end up in logs, labels and commands. */
const NAME = /^[\w.-]{1,128}$/

/** Go's own idea of true, by which plugins write it. */
const TRUE = ['1', 't', 'T', 'true', 'TRUE', 'True']

/** Reads the answer's keys, and tells `note` of each that is not what the contract says. */
class Answer {
  readonly #struct: Struct
  readonly #path: string
  readonly #note: (problem: string) => void

  constructor(struct: Struct, note: (problem: string) => void, path = '') {
    this.#struct = struct
    this.#note = note
    this.#path = path
  }

  text(key: string): string {
    const value = this.#struct[key] ?? ''
    return typeof value === 'string' ? value : this.#wrong(key, 'text', '')
  }

  list(key: string): readonly Value[] {
    const value = this.#struct[key] ?? []
    return Array.isArray(value) ? value : this.#wrong(key, 'a list', [])
  }

  texts(key: string): readonly string[] {
    return this.list(key).flatMap((value) => {
      return typeof value === 'string' ? [value] : this.#wrong(key, 'a list of text', [])
    })
  }

  inner(key: string): Answer {
    const value = this.#struct[key] ?? {}
    const struct = isStruct(value) ? value : this.#wrong(key, 'a struct', {})
    return new Answer(struct, this.#note, `${this.#path}${key}.`)
  }

  inners(key: string): readonly Answer[] {
    return this.list(key).flatMap((value) => {
      if (isStruct(value)) return [new Answer(value, this.#note, `${this.#path}${key}.`)]
      return this.#wrong(key, 'a list of structs', [])
    })
  }

  #wrong<Default>(key: string, wanted: string, fallback: Default): Default {
    this.#note(`GetPluginConfig: ${this.#path}${key} is not ${wanted}; ignored`)
    return fallback
  }
}

function hooksOf(answer: Answer, note: (problem: string) => void): HookName[] {
  const hooks = new Set<HookName>()
  for (const value of answer.list('hooks')) {
    const hook = typeof value === 'number' ? hookNumbered(value) : undefined
    if (hook !== undefined && hook.kind !== 'reserved') hooks.add(hook.name)
    else note(`GetPluginConfig: hooks lists ${String(value)}, which is no hook; ignored`)
  }
  return [...hooks]
}

function nameOf(answer: Answer, entryName: string | null, path: string): string {
  if (entryName !== null) return entryName
  const name = answer.inner('id').text('name')
  if (NAME.test(name)) return name
  throw new GatewayError(
    'PLUGIN_MANIFEST',
    `the plugin ${path} names itself ${JSON.stringify(name.slice(0, 128))}, which is no usable ` +
      'name (letters, digits, ".", "_" and "-"); give its entry a name',
  )
}

/** Where a plugin serves its metrics, by its answer to GetPluginConfig; null where it does not. */
export function metricsSocketIn(struct: Struct): string | null {
  return metricsSocketOf(new Answer(struct, () => undefined))
}

function metricsSocketOf(answer: Answer): string | null {
  const config = answer.inner('config')
  const socket = config.text('metricsUnixDomainSocket')
  return TRUE.includes(config.text('metricsEnabled')) && socket !== '' ? socket : null
}

/**
 * Reads the answer to GetPluginConfig. What has the wrong type is noted and ignored, as GatewayD
 * does. Throws a GatewayError(PLUGIN_MANIFEST) where neither entry nor plugin gives a name.
 */
export function describe(
  struct: Struct,
  entryName: string | null,
  path: string,
  note: (problem: string) => void,
): Description {
  const answer = new Answer(struct, note)
  const hooks = hooksOf(answer, note)
  const manifest: PluginManifest = {
    name: nameOf(answer, entryName, path),
    version: answer.inner('id').text('version'),
    description: answer.text('description'),
    authors: answer.texts('authors'),
    license: answer.text('license'),
    projectUrl: answer.text('projectUrl'),
    hooks,
    requires: answer.inners('requires').map((required) => ({
      name: required.text('name'),
      version: required.text('version'),
    })),
    metricsSocket: metricsSocketOf(answer),
  }
  return { manifest, hooks }
}
