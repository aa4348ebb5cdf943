/** Reads a YAML text into a draft: what the schema will check, with the place of every value. */
import {
  isAlias,
  isMap as isMapNode,
  isScalar,
  isSeq,
  LineCounter,
  parseDocument,
  type Scalar,
  type YAMLMap,
  type YAMLSeq,
} from 'yaml'
import type * as z from 'zod'
import { Draft, type Written, type WrittenMap } from './draft.ts'
import { expanded, type Sources } from './expand.ts'
import { clipped, type Place, type Problems, shownPath } from './problem.ts'
import { inside, NAME, type Path, type Spot, spotOf } from './shape.ts'
import { syntaxSentence } from './yaml-errors.ts'

/** Limits on what aliases and nesting can make of a short text. */
const NODES_MAX = 100_000
const DEPTH_MAX = 64
const ALIASES_MAX = 1000
const NAME_RULE = 'may have letters, digits, - and _ only, at most 63 of them'

/** A pair of a map, with its key as text. */
interface Entry {
  /** In lower case where it names a group or a block. */
  readonly name: string
  readonly key: Scalar
  readonly value: unknown
  readonly isMerge: boolean
}

/**
 * Reads `text` and notes every problem of its form; values are checked later, by the schema.
 * Undefined where the text is no YAML map, and problems say why.
 */
export function readYaml(
  file: string,
  text: string,
  schema: z.core.$ZodType,
  problems: Problems,
  sources: Sources,
): Draft | undefined {
  return new YamlReader(file, problems, sources).read(text, schema)
}

/** The state of one reading: aliases, limits and places are kept along the way. */
class YamlReader {
  readonly #draft: Draft
  readonly #problems: Problems
  readonly #sources: Sources
  readonly #lines = new LineCounter()
  readonly #anchors = new Map<string, unknown>()
  #nodes = 0
  #aliases = 0

  constructor(file: string, problems: Problems, sources: Sources) {
    this.#draft = new Draft(file)
    this.#problems = problems
    this.#sources = sources
  }

  read(text: string, schema: z.core.$ZodType): Draft | undefined {
    const document = parsed(text, this.#lines)
    if (document === undefined) return this.#refuseText(0, syntaxSentence('RESOURCE_EXHAUSTION'))
    const faults = [...document.errors, ...document.warnings]
    for (const { code, pos } of faults) this.#refuseText(pos[0], syntaxSentence(code))
    if (faults.length > 0) return undefined
    const { contents } = document
    if (contents === null || (isScalar(contents) && contents.value === null)) {
      return this.#refuseText(0, 'the file is empty; write {} to accept every default')
    }
    if (!isMapNode(contents)) {
      return this.#refuseText(offsetOf(contents), 'the file must be a map of keys')
    }
    this.#fill(this.#draft.root, contents, spotOf(schema))
    return this.#draft
  }

  #refuseText(offset: number, message: string): undefined {
    this.#problems.add(this.#place(offset), [], message)
    return undefined
  }

  #place(offset: number): Place {
    const { line, col } = this.#lines.linePos(offset)
    return { file: this.#draft.file, line: Math.max(line, 1), column: Math.max(col, 1) }
  }

  #refuse(node: unknown, path: Path, message: string): undefined {
    this.#problems.add(this.#place(offsetOf(node)), path, message)
    return undefined
  }

  /** What a node holds; undefined where that is no value, which a problem then says. */
  #value(node: unknown, spot: Spot): Written | undefined {
    this.#nodes += 1
    if (this.#nodes > NODES_MAX) return this.#refuse(node, [], 'has too many values')
    if (spot.path.length > DEPTH_MAX) return this.#refuse(node, [], 'is nested too deeply')
    if (isAlias(node)) return this.#aliased(node.source, node, spot)
    const value = this.#plainValue(node, spot)
    // Only a finished node can be meant by an alias, so none can hold itself.
    if ((isScalar(node) || isMapNode(node) || isSeq(node)) && node.anchor !== undefined) {
      this.#anchors.set(node.anchor, node)
    }
    return value
  }

  #plainValue(node: unknown, spot: Spot): Written | undefined {
    if (isMapNode(node)) {
      const map: WrittenMap = {}
      this.#fill(map, node, spot)
      return map
    }
    if (isSeq(node)) return this.#list(node, spot)
    return isScalar(node) ? this.#scalar(node, spot) : null
  }

  #aliased(anchor: string, node: unknown, spot: Spot): Written | undefined {
    this.#aliases += 1
    if (this.#aliases > ALIASES_MAX) return this.#refuse(node, [], 'has too many aliases')
    const meant = this.#anchors.get(anchor)
    if (meant === undefined) return this.#refuse(node, spot.path, 'has an alias without an anchor')
    return this.#value(meant, spot)
  }

  #list(node: YAMLSeq, spot: Spot): Written[] {
    const list: Written[] = []
    for (const [position, item] of node.items.entries()) {
      if (this.#nodes > NODES_MAX) break
      const one = inside(spot, String(position))
      this.#stand(one, item, item)
      list.push(this.#value(item, one) ?? null)
    }
    return list
  }

  /** Reads the pairs of a map into `map`; those of merged maps (`<<`) give way to its own. */
  #fill(map: WrittenMap, node: YAMLMap, spot: Spot): void {
    const taken = new Set<string>()
    const merged: unknown[] = []
    for (const entry of this.#entries(node, spot)) {
      if (this.#nodes > NODES_MAX) return
      if (entry.isMerge) merged.push(entry.value)
      else if (!taken.has(entry.name)) this.#pair(map, entry, spot)
      else this.#refuse(entry.key, [], `the key "${clipped(entry.name)}" stands twice in one map`)
      taken.add(entry.name)
    }
    for (const value of merged) this.#merge(map, value, spot, taken)
  }

  #entries(node: YAMLMap, spot: Spot): readonly Entry[] {
    const entries: Entry[] = []
    for (const { key, value } of node.items) {
      if (!isScalar(key)) {
        this.#refuse(key, spot.path, 'has a key that is no text')
        continue
      }
      const written = sourceOf(key)
      const isMerge = written === '<<' && key.type === 'PLAIN'
      entries.push({ name: spot.named ? written.toLowerCase() : written, key, value, isMerge })
    }
    return entries
  }

  #pair(map: WrittenMap, { name, key, value }: Entry, parent: Spot): void {
    const spot = inside(parent, name)
    const fault = faultOfName(name, parent.named)
    if (fault !== undefined) {
      this.#refuse(key, spot.path, fault)
      return
    }
    this.#stand(spot, key, value)
    const read = this.#value(value, spot)
    if (read === undefined) return
    if (read !== null || spot.reading === 'anything' || spot.reading === 'unknown') {
      map[name] = read
    } else if (parent.named) {
      // A key with nothing behind it keeps its default; a name with nothing behind it is a slip.
      const cure = 'write its keys below it, or remove it'
      this.#refuse(key, spot.path, `${shownPath(spot.path)} is empty; ${cure}`)
    }
  }

  #merge(map: WrittenMap, value: unknown, spot: Spot, taken: Set<string>): void {
    this.#aliases += 1
    const meant = isAlias(value) ? this.#anchors.get(value.source) : value
    if (this.#aliases > ALIASES_MAX) {
      this.#refuse(value, [], 'has too many aliases')
    } else if (isSeq(meant)) {
      for (const item of meant.items) this.#merge(map, item, spot, taken)
    } else if (isMapNode(meant)) {
      this.#mergeMap(map, meant, spot, taken)
    } else {
      this.#refuse(value, spot.path, '<< must be followed by a map')
    }
  }

  #mergeMap(map: WrittenMap, from: YAMLMap, spot: Spot, taken: Set<string>): void {
    for (const entry of this.#entries(from, spot)) {
      if (entry.isMerge) this.#merge(map, entry.value, spot, taken)
      else if (!taken.has(entry.name)) this.#pair(map, entry, spot)
      taken.add(entry.name)
    }
  }

  #scalar(node: Scalar, spot: Spot): Written | undefined {
    const { value, type } = node
    const plain = type === 'PLAIN' && typeof value !== 'string'
    if (plain && value === null) return null
    if (plain && (spot.reading === 'anything' || spot.reading === 'unknown')) {
      return typeof value === 'number' || typeof value === 'boolean' ? value : sourceOf(node)
    }
    const source = sourceOf(node)
    if (spot.reading === 'unknown') return source
    const outcome = expanded(source, spot, this.#sources)
    if (outcome.kind === 'text') return outcome.text
    this.#refuse(node, spot.path, `${shownPath(spot.path)} ${outcome.message}`)
    return undefined
  }

  #stand(spot: Spot, keyNode: unknown, valueNode: unknown): void {
    const key = this.#place(offsetOf(keyNode))
    const value = valueNode === null ? key : this.#place(offsetOf(valueNode))
    const tells = isScalar(valueNode) && !spot.secret && spot.reading !== 'unknown'
    const shown = tells ? JSON.stringify(clipped(sourceOf(valueNode))) : null
    this.#draft.stand(spot.path, { key, value, shown })
  }
}

/** The parsed document; undefined where its nesting breaks the parser. */
function parsed(text: string, lineCounter: LineCounter) {
  try {
    // `uniqueKeys` compares every key with every other; duplicates are found above instead.
    return parseDocument(text, { lineCounter, prettyErrors: false, uniqueKeys: false })
  } catch (error) {
    if (error instanceof RangeError) return undefined
    throw error
  }
}

function faultOfName(name: string, named: boolean): string | undefined {
  if (name === '__proto__') return 'the key __proto__ is not allowed'
  return named && !NAME.test(name) ? `the name "${clipped(name)}" ${NAME_RULE}` : undefined
}

/** The text of a scalar without its quotes, whatever type YAML gives it. */
function sourceOf(node: Scalar): string {
  return typeof node.value === 'string' ? node.value : (node.source ?? String(node.value))
}

function offsetOf(node: unknown): number {
  const ranged = isScalar(node) || isMapNode(node) || isSeq(node) || isAlias(node)
  return ranged ? (node.range?.[0] ?? 0) : 0
}
