/**
 * Reads TypeScript sources the way the compiler does, for the tests of house style: by syntax, not
 * by search, so that a word in a text or a comment is no fault.
 */
import { dirname, join, normalize, relative } from 'node:path'
import type { Node, SourceFile } from 'typescript/unstable/ast'
import {
  isArrowFunction,
  isCallExpression,
  isClassDeclaration,
  isConstructorDeclaration,
  isEnumDeclaration,
  isExportAssignment,
  isFunctionDeclaration,
  isFunctionExpression,
  isGetAccessorDeclaration,
  isIdentifier,
  isImportDeclaration,
  isMethodDeclaration,
  isModuleDeclaration,
  isObjectLiteralExpression,
  isParameterDeclaration,
  isPropertyAccessExpression,
  isSetAccessorDeclaration,
  isStringLiteral,
  isTypeAliasDeclaration,
  isVariableDeclaration,
  SyntaxKind,
} from 'typescript/unstable/ast'
import { API } from 'typescript/unstable/async'

export interface Finding {
  readonly line: number
  readonly what: string
}

export interface FunctionSize {
  readonly name: string
  readonly line: number
  readonly lines: number
}

export interface Import {
  readonly line: number
  /** A path from the root where it is one of ours, else the package's specifier. */
  readonly from: string
  readonly isOurs: boolean
}

export interface Source {
  /** From the root, with forward slashes. */
  readonly path: string
  readonly text: string
  readonly lines: readonly string[]
  readonly functions: readonly FunctionSize[]
  readonly imports: readonly Import[]
  /** Names of variables, parameters, functions, classes and types. */
  readonly declared: readonly Finding[]
  /** `any`, `enum`, `namespace`, `export default`, `console`, `process.exit`: what stands there. */
  readonly constructs: readonly Finding[]
  /** Titles of tests that may be skipped; null where the title is not a plain text. */
  readonly skippable: readonly { readonly line: number; readonly title: string | null }[]
}

/** Every TypeScript file of the project at `root`, as its tsconfig.json lists them. */
export async function readSources(root: string): Promise<Source[]> {
  const api = new API({ cwd: root })
  try {
    const snapshot = await api.updateSnapshot({ openProject: join(root, 'tsconfig.json') })
    const sources: Source[] = []
    for (const project of snapshot.getProjects()) {
      for (const name of await project.program.getSourceFileNames()) {
        const path = relative(root, name)
        if (path.startsWith('..') || path.includes('node_modules')) continue
        const file = await project.program.getSourceFile(name)
        if (file !== undefined && !file.isDeclarationFile) sources.push(sourceOf(path, file))
      }
    }
    return sources.sort((one, other) => (one.path < other.path ? -1 : 1))
  } finally {
    await api.close()
  }
}

function sourceOf(path: string, file: SourceFile): Source {
  const found: Gathered = {
    functions: [],
    imports: [],
    declared: [],
    constructs: [],
    skippable: [],
  }
  const lineOf = (position: number): number => file.getLineAndCharacterOfPosition(position).line + 1
  const visit = (node: Node, parent: Node): void => {
    const line = lineOf(node.getStart(file))
    gather({ node, parent, line, lastLine: lineOf(node.end), path, file }, found)
    node.forEachChild((child) => visit(child, node))
  }
  file.forEachChild((child) => visit(child, file))
  return { path, text: file.text, lines: file.text.split('\n'), ...found }
}

interface Gathered {
  readonly functions: FunctionSize[]
  readonly imports: Import[]
  readonly declared: Finding[]
  readonly constructs: Finding[]
  readonly skippable: { readonly line: number; readonly title: string | null }[]
}

interface Place {
  readonly node: Node
  readonly parent: Node
  readonly line: number
  readonly lastLine: number
  readonly path: string
  readonly file: SourceFile
}

function gather(place: Place, found: Gathered): void {
  const { node, line, lastLine, path, file } = place
  if (hasBody(node) && !isGroupOfTests(place)) {
    found.functions.push({ name: nameOf(place), line, lines: lastLine - line + 1 })
  }
  if (isImportDeclaration(node) && isStringLiteral(node.moduleSpecifier)) {
    found.imports.push(importOf(path, line, node.moduleSpecifier.text))
  }
  if (isCallExpression(node)) {
    const called = node.expression.getText(file)
    const [first] = node.arguments
    const text = first === undefined ? null : textOf(first, file)
    if (called === 'import' && text !== null) found.imports.push(importOf(path, line, text))
    if (SKIPPING.test(called)) found.skippable.push({ line, title: text })
  }
  const name = declaredName(node)
  // The name of a method in an object is often asked for by others, such as Bun's `data`.
  const isOurChoice = !(isMethodDeclaration(node) && isObjectLiteralExpression(place.parent))
  if (name !== null && isOurChoice) found.declared.push({ line, what: name })
  const construct = constructOf(node, file)
  if (construct !== null) found.constructs.push({ line, what: construct })
}

/** `test.skip(…)`, `describe.skipIf(…)(…)` and the like, seen at the call that has the title. */
const SKIPPING = /^(test|it|describe)\.(skip|todo|(skipIf|if|todoIf)\(.*\))$/s

/** A text as it is written, with or without parts that are filled in; null for all else. */
function textOf(node: Node, file: SourceFile): string | null {
  if (isStringLiteral(node)) return node.text
  const written = node.getText(file)
  return written.startsWith('`') ? written.slice(1, -1) : null
}

function importOf(path: string, line: number, specifier: string): Import {
  const isOurs = specifier.startsWith('.')
  return { line, isOurs, from: isOurs ? normalize(join(dirname(path), specifier)) : specifier }
}

/** True for functions that do something, in contrast to signatures. */
function hasBody(node: Node): boolean {
  return (
    (isFunctionDeclaration(node) && node.body !== undefined) ||
    (isMethodDeclaration(node) && node.body !== undefined) ||
    (isConstructorDeclaration(node) && node.body !== undefined) ||
    isFunctionExpression(node) ||
    isArrowFunction(node) ||
    isGetAccessorDeclaration(node) ||
    isSetAccessorDeclaration(node)
  )
}

/** The callback of `describe` only groups tests, as a folder groups files. */
function isGroupOfTests({ parent, file }: Place): boolean {
  return isCallExpression(parent) && parent.expression.getText(file).startsWith('describe')
}

function nameOf({ node, parent }: Place): string {
  return declaredName(node) ?? declaredName(parent) ?? 'a function without a name'
}

function declaredName(node: Node): string | null {
  const isNamed =
    isVariableDeclaration(node) ||
    isParameterDeclaration(node) ||
    isFunctionDeclaration(node) ||
    isMethodDeclaration(node) ||
    isGetAccessorDeclaration(node) ||
    isSetAccessorDeclaration(node) ||
    isClassDeclaration(node) ||
    isTypeAliasDeclaration(node) ||
    node.kind === SyntaxKind.InterfaceDeclaration
  if (!isNamed || !('name' in node)) return null
  const { name } = node
  return isNode(name) && isIdentifier(name) ? name.text : null
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && 'kind' in value
}

function constructOf(node: Node, file: SourceFile): string | null {
  if (node.kind === SyntaxKind.AnyKeyword) return 'any'
  if (node.kind === SyntaxKind.DefaultKeyword) return 'export default'
  if (isExportAssignment(node)) return 'export default'
  if (isEnumDeclaration(node)) return 'enum'
  // `declare module '…'` and `declare global` only describe what is there.
  if (isModuleDeclaration(node) && isIdentifier(node.name) && node.name.text !== 'global') {
    return 'namespace'
  }
  if (!isPropertyAccessExpression(node)) return null
  const access = node.getText(file)
  if (access.startsWith('console.')) return 'console'
  return access === 'process.exit' ? 'process.exit' : null
}
