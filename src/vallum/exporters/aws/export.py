"""Writes a policy as one AWS CloudFormation template: a REST API of API Gateway, and a web ACL of AWS WAF.

Formats: CloudFormation 2010-09-09; AWS::ApiGateway (v1) and AWS::WAFv2 as of the resource schemas of 2026.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from vallum.exporters.aws import access, firewall, methods, plans, refusals, routing, rules, stage
from vallum.exporters.aws.answers import ANSWERS, answer_routes
from vallum.exporters.aws.notation import plain, write
from vallum.exporters.aws.template import Template
from vallum.exporters.export import Export, ExportError
from vallum.exporters.features import Feature
from vallum.exporters.finding import Found, find_features, list_losses
from vallum.exporters.yaml_text import Noted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vallum.config.model import Config
    from vallum.core.policy import Policy
    from vallum.exporters.export import Answer

FILE = "cloudformation.yaml"
HEAD = """\
AWS CloudFormation: a REST API and a web ACL, written by `vallum export {name}`.
What the policy says and this cannot, the command tells: read it before you rely on this.
There are no secrets in it.  Deploy it with
  aws cloudformation deploy --template-file {file} --stack-name NAME --parameter-overrides ...
"""


class Aws:
    """The exporter.  As `aws-iam`, callers sign with keys of AWS instead of what the policy's authenticators take."""

    answers: ClassVar[Mapping[Feature, Answer]] = ANSWERS

    def __init__(self, *, signed: bool = False) -> None:
        """Take whether callers sign."""
        self.name = "aws-iam" if signed else "aws"
        self._signed = signed

    def write(self, config: Config, policy: Policy) -> Export:
        """Return the template and what is lost.  Raises ExportError for what AWS cannot hold at all."""
        template = Template(config, policy, self._signed)
        _fill(template)
        document = _document(template)
        faults = rules.faults(plain(document))
        if faults:
            raise ExportError("the template would not hold: " + "; ".join(faults))
        text = write(document, HEAD.format(name=self.name, file=FILE))
        special = {Found(*place): answer for place, answer in template.special.items()}
        return Export({FILE: text}, list_losses(find_features(config), ANSWERS, special))


def _fill(template: Template) -> None:
    """Build all resources, in the order in which they are read."""
    listed = routing.entries(template)
    certificates = access.needs_certificates(template, listed)
    api: dict[str, Any] = {
        "Name": _title(template),
        "EndpointConfiguration": {"Types": ["REGIONAL"]},
        "ApiKeySourceType": "HEADER",
    }
    binary = _binary_types(template, listed)
    if binary:
        api["BinaryMediaTypes"] = Noted(binary, "All else is taken for text, and changed where it is none.")
    if certificates:
        api["DisableExecuteApiEndpoint"] = True
    template.add("Api", "AWS::ApiGateway::RestApi", api)
    root = routing.plant(template, listed)
    routing.find_overlaps(template, listed)
    methods.add_resources(template, root)
    served = routing.operations(root, listed)
    if not any(operation.entry is not None for operation in served):
        raise ExportError("API Gateway can have none of the policy's paths")
    shown = [methods.add_method(template, operation) for operation in served]
    methods.lost_paths(template, served, listed)
    shown += refusals.add_refusals(template, signed=template.signed)
    stage.add_stage(template, shown, plans.shared_settings(template, served))
    plans.add_plan(template, served)
    if certificates:
        access.add_domain(template)
    access.answer_common(template, listed)
    firewall.add_firewall(template, listed, prefix="" if certificates else "/${StageName}")
    answer_routes(template, listed)


def _binary_types(template: Template, listed: list[routing.Entry]) -> list[str]:
    """Return the media types of bodies that are no text."""
    found: set[str] = set()
    for entry in listed:
        codecs = set(entry.route.intake.codecs)
        if not codecs:
            found |= {"application/octet-stream", "multipart/form-data"}
            where = f"routes.{entry.config.name}.preset"
            detail = f"of bodies that are no text {' and '.join(sorted(found))} pass as they are"
            template.lose(Feature.PRESET_RAW, where, detail, "Add other media types to BinaryMediaTypes.")
        found |= codecs - {"", methods.JSON}
    return sorted(found)


def _title(template: Template) -> str:
    """Return the API's name: the upstream's, where all routes have one."""
    names = list(dict.fromkeys(route.upstream for route in template.config.routes))
    return names[0] if len(names) == 1 else "vallum"


def _document(template: Template) -> dict[str, Any]:
    document: dict[str, Any] = {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "An inference API with its limits and its web ACL, from a Vallum policy",
        "Parameters": template.parameters,
    }
    if template.conditions:
        document["Conditions"] = template.conditions
    return {**document, "Resources": template.resources, "Outputs": template.outputs}
