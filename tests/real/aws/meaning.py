"""What a template comes to with some parameters, for what no emulator knows.

Told on standard input, as JSON: template (a path), parameters. Prints the names of the parameters, and the resources and
outputs that are left when the conditions are judged, with every function worked out; what only a deployment knows is
written as `Name` (Ref) and `Name.Attribute` (Fn::GetAtt). Of parameters that are refused, it prints the reason.
"""

import json
import re
import sys

from cfnlint.decode import cfn_yaml

told = json.load(sys.stdin)
template = cfn_yaml.load(told["template"])
PSEUDO = {
    "AWS::Region": "eu-west-1",
    "AWS::AccountId": "111122223333",
    "AWS::Partition": "aws",
    "AWS::URLSuffix": "amazonaws.com",
    "AWS::StackName": "stack",
    "AWS::NoValue": None,
}


def refuse(reason):
    print(json.dumps({"refused": str(reason)}))
    sys.exit()


def parameter(name, declared):
    value = str(told["parameters"].get(name, declared.get("Default", "")))
    if name not in told["parameters"] and "Default" not in declared:
        refuse(f"{name} has no value")
    if "AllowedValues" in declared and value not in map(str, declared["AllowedValues"]):
        refuse(f"{name} is none of its values")
    if "AllowedPattern" in declared and not re.fullmatch(declared["AllowedPattern"].strip("^$"), value):
        refuse(f"{name} does not match its pattern")
    return value.split(",") if declared["Type"].startswith(("List", "Comma")) else value


def named(name):
    return PSEUDO[name] if name in PSEUDO else values.get(name, name)


def text(value):
    return ",".join(value) if isinstance(value, list) else str(value)


def sub(pattern):
    pattern, more = pattern if isinstance(pattern, list) else (pattern, {})
    more = {name: worth(value) for name, value in more.items()}
    look = lambda found: text(more.get(found[1], named(found[1])))
    return re.sub(r"\$\{!", "${", re.sub(r"\$\{([^!}][^}]*)\}", look, pattern))


FUNCTIONS = {
    "Ref": named,
    "Condition": lambda name: holds(name),
    "Fn::GetAtt": lambda of: of if isinstance(of, str) else ".".join(of),
    "Fn::Sub": sub,
    "Fn::Equals": lambda both: text(worth(both[0])) == text(worth(both[1])),
    "Fn::Not": lambda one: not worth(one[0]),
    "Fn::And": lambda all_of: all(worth(one) for one in all_of),
    "Fn::Or": lambda any_of: any(worth(one) for one in any_of),
    "Fn::If": lambda of: worth(of[1] if holds(of[0]) else of[2]),
    "Fn::Join": lambda of: of[0].join(worth(of[1])),
    "Fn::Split": lambda of: worth(of[1]).split(of[0]),
}


def holds(condition):
    return worth(template["Conditions"][condition])


def worth(node):
    if isinstance(node, list):
        return [value for value in map(worth, node) if value is not None]
    if not isinstance(node, dict):
        return node
    if len(node) == 1:
        [(function, of)] = node.items()
        # In a policy, Condition is a map.
        if function in FUNCTIONS and not (function == "Condition" and isinstance(of, dict)):
            return FUNCTIONS[function](of)
    pairs = {str(name): worth(value) for name, value in node.items()}
    return {name: value for name, value in pairs.items() if value is not None}


def kept(section):
    there = {str(name): dict(one) for name, one in template.get(section, {}).items()}
    return {name: worth(one) for name, one in there.items() if "Condition" not in one or holds(one.pop("Condition"))}


template, _ = template if isinstance(template, tuple) else (template, None)
values = {str(name): parameter(name, declared) for name, declared in template["Parameters"].items()}
for name, rule in template.get("Rules", {}).items():
    if "RuleCondition" not in rule or worth(rule["RuleCondition"]):
        for assertion in rule["Assertions"]:
            if not worth(assertion["Assert"]):
                refuse(assertion["AssertDescription"])
outputs = {name: output["Value"] for name, output in kept("Outputs").items()}
answer = {"parameters": list(values), "resources": kept("Resources"), "outputs": outputs}
print(json.dumps(answer, default=str))
