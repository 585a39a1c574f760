"""Classes of one's own below `dspy.LM` and `dspy.BaseLM`, which become plain ones with a method that a step is made of.

The class keeps what it does: `tidyllm.dspy.lm(step(object.answer, …))` calls it. Only classes that use nothing of their
base, and objects that are only configured and called.
"""

from __future__ import annotations

import libcst as cst

from tidyllm.migrate.errors import CannotConvert
from tidyllm.migrate.rewrite import Entry, Rewriter
from tidyllm.migrate.rules import Rules
from tidyllm.migrate.site import keyword
from tidyllm.migrate.tree import children, dotted, rebuilt

__all__ = ["class_definition", "given_to_dspy", "method_call"]

_BY_HAND = (
    "Write a function from a Request to text that does what the class does, and use "
    "tidyllm.dspy.lm(step(function, thread=True))."
)
_CONFIGURE = {"dspy.configure", "dspy.settings.configure", "dspy.context", "dspy.settings.context"}
_OPENAI = ("completions.create", "litellm.completion")
_ANSWER = '''
def answer(self, request):
    """One text for a request: what tidyllm.dspy.lm asks for."""
    {messages}
    return self{call}
'''
_MESSAGES = 'messages = [{"role": one.role, "content": one.text} for one in request.turns]'
_PROMPT = 'prompt = "\\n\\n".join(one.text for one in request.turns)'


def class_definition(file: Rewriter, rules: Rules, node: cst.ClassDef) -> cst.CSTNode | None:
    """The class without its base, or None (and a line in the log) where it has to stay."""
    if not _is_lm(file, rules, node):
        return None
    try:
        answer = _answer(file, rules, node)
    except CannotConvert as error:
        file.log.append(
            Entry("could_not", rules, node.name.value, node.name, error.reason, error.by_hand or _BY_HAND)
        )
        return None
    done = rebuilt(node, file.rewrite)
    assert isinstance(done, cst.ClassDef)
    assert isinstance(done.body, cst.IndentedBlock)
    body = [_without_super(one) for one in done.body.body]
    new = cst.parse_statement(answer, file.module.config_for_parsing)
    assert isinstance(new, cst.FunctionDef)
    new = new.with_changes(leading_lines=[cst.EmptyLine(indent=False)])
    file.log.append(Entry("converted", rules, node.name.value, node.name))
    return done.with_changes(
        bases=[],
        lpar=cst.MaybeSentinel.DEFAULT,
        rpar=cst.MaybeSentinel.DEFAULT,
        body=done.body.with_changes(body=[*body, new]),
    )


def method_call(file: Rewriter, rules: Rules, node: cst.Call) -> cst.CSTNode | None:
    """`dspy.configure(lm=mine)` and `dspy.context(lm=mine)`."""
    if file.resolver.reference(node.func) is not None or not _configures(file, node):
        return None
    done = rebuilt(node, file.rewrite)
    assert isinstance(done, cst.Call)
    args = given_to_dspy(file, rules, node, done)
    return None if args is done.args else done.with_changes(args=args)


def given_to_dspy(
    file: Rewriter, rules: Rules, old: cst.Call, new: cst.Call
) -> list[cst.Arg] | tuple[cst.Arg, ...]:
    """The arguments, with an object of such a class as a step: `lm=lm(step(mine.answer, …))`."""
    for place, arg in enumerate(old.args):
        if arg.keyword is None or arg.keyword.value != "lm":
            continue
        home = _class_of(file, rules, arg.value)
        if home is None or not _goes(file, rules, home):
            continue
        origin = file.resolver.origin(home.bases[0].value)
        bindings = () if origin is None else origin[1]
        comma = cst.Comma(whitespace_after=cst.SimpleWhitespace(" "))
        step = cst.Call(
            file.use("tidyllm.step", bindings),
            [
                cst.Arg(cst.Attribute(new.args[place].value, cst.Name("answer")), comma=comma),
                keyword("name", cst.SimpleString(f'"{home.name.value}"')).with_changes(comma=comma),
                keyword("thread", cst.Name("True")),
            ],
        )
        whole = cst.Call(file.use("tidyllm.dspy.lm", bindings), [cst.Arg(step)])
        args = list(new.args)
        args[place] = args[place].with_changes(value=whole)
        return args
    return list(new.args) if isinstance(new.args, list) else tuple(new.args)


# -- which classes


def _is_lm(file: Rewriter, rules: Rules, node: cst.ClassDef) -> bool:
    origins = [file.resolver.origin(arg.value) for arg in node.bases]
    return any(one is not None and one[0][0] in rules.settings["bases"] for one in origins)


def _goes(file: Rewriter, rules: Rules, node: cst.ClassDef) -> bool:
    try:
        _answer(file, rules, node)
    except CannotConvert:
        return False
    return True


def _answer(file: Rewriter, rules: Rules, node: cst.ClassDef) -> str:
    """The method that is added.

    :raises CannotConvert: the class cannot do without its base, or its objects are used for other things.
    """
    scopes = file.scopes
    name = node.name.value
    if name in file.facts.keep:
        raise CannotConvert(f"other files use {name} from here")
    if (
        scopes.of[id(node)] is not scopes.root
        or len(node.bases) != 1
        or node.keywords
        or node.decorators
        or not isinstance(node.body, cst.IndentedBlock)
        or len(scopes.root.names.get(name, ())) != 1
    ):
        raise CannotConvert("it is more than a plain class below dspy.LM")
    methods = {one.name.value: one for one in node.body.body if isinstance(one, cst.FunctionDef)}
    if any(one.asynchronous is not None for one in methods.values()) or "answer" in methods:
        raise CannotConvert("it has a way of its own to be awaited, or a method named answer")
    own = set(methods)
    _uses_no_base(node, own)
    called = "__call__" if "__call__" in methods else "forward"
    if called not in methods:
        raise CannotConvert("what it does with a prompt is left to its base")
    file.reshaped.add((id(scopes.root), name))
    _is_only_given(file, rules, node, own)
    return _written(file, methods[called])


def _uses_no_base(node: cst.ClassDef, own: set[str]) -> None:
    """Adds what the class gives its objects itself to `own`.

    :raises CannotConvert: it reads something else of them.
    """
    read: set[str] = set()

    def look(one: cst.CSTNode) -> None:
        if isinstance(one, cst.Assign | cst.AnnAssign):
            targets = [each.target for each in one.targets] if isinstance(one, cst.Assign) else [one.target]
            for target in targets:
                written = dotted(target) or ""
                own.add(written.removeprefix("self."))
        if isinstance(one, cst.Attribute) and dotted(one.value) == "self":
            read.add(one.attr.value)
        if isinstance(one, cst.Expr) and _is_super(one):
            return
        if isinstance(one, cst.Name) and one.value == "super":
            raise CannotConvert("it calls methods of its base")
        for child in children(one):
            look(child)

    look(node.body)
    if read - own:
        raise CannotConvert(f"it uses {', '.join(sorted(read - own))} of its base")


def _is_super(node: cst.CSTNode) -> bool:
    """`super().__init__(…)` alone."""
    call = node.value if isinstance(node, cst.Expr) else None
    if not isinstance(call, cst.Call) or not isinstance(call.func, cst.Attribute):
        return False
    above = call.func.value
    return (
        call.func.attr.value == "__init__" and isinstance(above, cst.Call) and dotted(above.func) == "super"
    )


def _without_super(node: cst.BaseStatement) -> cst.BaseStatement:
    if not isinstance(node, cst.FunctionDef) or node.name.value != "__init__":
        return node
    body: list[cst.BaseStatement] = []
    above: list[cst.EmptyLine] = []
    for line in node.body.body if isinstance(node.body, cst.IndentedBlock) else ():
        if isinstance(line, cst.SimpleStatementLine) and len(line.body) == 1 and _is_super(line.body[0]):
            above += [one for one in line.leading_lines if one.comment is not None]
            continue
        if above and isinstance(line, cst.SimpleStatementLine):
            line = line.with_changes(leading_lines=[*above, *line.leading_lines])  # noqa: PLW2901
            above = []
        body.append(line)
    if not isinstance(node.body, cst.IndentedBlock):
        return node
    return node.with_changes(
        body=node.body.with_changes(body=body or [cst.SimpleStatementLine([cst.Pass()])])
    )


# -- how objects are used


def _configures(file: Rewriter, node: cst.CSTNode | None) -> bool:
    origin = file.resolver.origin(node.func) if isinstance(node, cst.Call) else None
    return origin is not None and origin[0][0] in _CONFIGURE


def _class_of(file: Rewriter, rules: Rules, node: cst.CSTNode) -> cst.ClassDef | None:
    """The class that an expression makes an object of: `Mine(…)`, or a variable that holds only that."""
    if isinstance(node, cst.Call) and isinstance(node.func, cst.Name):
        for one in file.scopes.root.names.get(node.func.value, ()):
            if isinstance(one.node, cst.ClassDef) and _is_lm(file, rules, one.node):
                return one.node
        return None
    key = file.resolver.variable(node) if isinstance(node, cst.Name) else None
    values = file.scopes.assigned.get(key, []) if key is not None else []
    return _class_of(file, rules, values[0]) if len(values) == 1 and isinstance(values[0], cst.Call) else None


def _is_only_given(file: Rewriter, rules: Rules, node: cst.ClassDef, own: set[str]) -> None:
    """:raises CannotConvert: objects of the class go elsewhere than into `dspy.configure(lm=…)`."""
    scopes = file.scopes
    refused = CannotConvert(
        f"{node.name.value} or an object of it is used for more than dspy.configure(lm=…)"
    )

    def look(one: cst.CSTNode) -> None:
        if isinstance(one, cst.Name) and id(one) not in scopes.not_read and one is not node.name:
            above = scopes.parent(one)
            is_class = one.value == node.name.value
            if is_class and not (isinstance(above, cst.Call) and above.func is one):
                raise refused
            holds = None if is_class else _class_of(file, rules, one)
            if is_class or (holds is node and id(one) not in scopes.binding_names):
                _is_given(above if is_class else one, is_object=not is_class)
        for child in children(one):
            look(child)

    def _is_given(one: cst.CSTNode | None, *, is_object: bool) -> None:
        above = None if one is None else scopes.parent(one)
        is_lm = isinstance(above, cst.Arg) and above.keyword is not None and above.keyword.value == "lm"
        if is_lm and above is not None and _configures(file, scopes.parent(above)):
            return
        if is_object and isinstance(above, cst.Call) and above.func is one:
            return
        if is_object and isinstance(above, cst.Attribute) and above.attr.value in own:
            return
        if not is_object and isinstance(above, cst.Assign) and len(above.targets) == 1:
            target = above.targets[0].target
            if isinstance(target, cst.Name) and _class_of(file, rules, target) is node:
                return
        raise refused

    look(scopes.module)


# -- what is added


def _written(file: Rewriter, method: cst.FunctionDef) -> str:
    params = [*method.params.params, *method.params.kwonly_params][1:]
    names = [one.name.value for one in params]
    if method.params.posonly_params or not names:
        raise CannotConvert("what it is called with is not seen")
    takes = "messages" if "messages" in names else names[0]
    if any(one.default is None for one in params if one.name.value != takes):
        raise CannotConvert("it needs more than a prompt")
    given = "messages" if takes == "messages" else "prompt"
    args = f"({takes}={given})"
    is_call = method.name.value == "__call__"
    returned = _returned(method.body)
    if not returned or not all(_gives(file, one, is_list=is_call) for one in returned):
        raise CannotConvert(
            "what it returns is not seen to be a list of texts, or an answer as OpenAI's client gives"
        )
    call = f"{args}[0]" if is_call else f".forward{args}.choices[0].message.content"
    return _ANSWER.format(messages=_MESSAGES if given == "messages" else _PROMPT, call=call).lstrip()


def _returned(node: cst.CSTNode) -> list[cst.BaseExpression | None]:
    if isinstance(node, cst.Return):
        return [node.value]
    if isinstance(node, cst.FunctionDef | cst.Lambda | cst.ClassDef):
        return []
    return [one for child in children(node) for one in _returned(child)]


def _gives(file: Rewriter, node: cst.CSTNode | None, *, is_list: bool) -> bool:
    if isinstance(node, cst.Name):
        key = file.resolver.variable(node)
        values = file.scopes.assigned.get(key, []) if key is not None else []
        return bool(values) and all(_gives(file, one, is_list=is_list) for one in values if one is not node)
    if is_list:
        return isinstance(node, cst.ListComp) or (isinstance(node, cst.List) and bool(node.elements))
    return isinstance(node, cst.Call) and (dotted(node.func) or "").endswith(_OPENAI)
