"""Who may call: what becomes of authenticators.

| authenticators of a route | method | besides |
| --- | --- | --- |
| any, as `aws-iam` | `AWS_IAM` | callers sign with keys of AWS (SigV4) |
| `anonymous` among them | `NONE` | |
| `api_key` alone | `NONE`, `ApiKeyRequired` | a usage plan and keys that AWS makes |
| `mtls` alone | `NONE` | a custom domain with a trust store, and no other way in |
| all else | `CUSTOM` | a Lambda authoriser of one's own, for every request |
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vallum.authenticators.anonymous import AnonymousConfig
from vallum.authenticators.api_key import ApiKeyConfig
from vallum.authenticators.minted import MintedConfig
from vallum.authenticators.mtls import MtlsConfig
from vallum.authenticators.oauth2 import OAuth2Config
from vallum.core.quota import Per
from vallum.exporters.aws.notation import GetAtt, Ref, Sub
from vallum.exporters.export import Kind
from vallum.exporters.features import Feature
from vallum.exporters.yaml_text import Noted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vallum.exporters.aws.routing import Entry
    from vallum.exporters.aws.template import Template

CALLERS = frozenset((Per.PRINCIPAL, Per.KEY))
ARN = "arn:[a-z0-9-]+:"
FEATURES: Mapping[type, Feature] = {
    AnonymousConfig: Feature.AUTH_ANONYMOUS,
    ApiKeyConfig: Feature.AUTH_API_KEY,
    MintedConfig: Feature.AUTH_MINTED,
    MtlsConfig: Feature.AUTH_MTLS,
    OAuth2Config: Feature.AUTH_OAUTH2,
}
BEHIND = "Put Vallum behind the API: it knows its callers by this policy."
OWN_KEYS = "keys are AWS's own, without digest, expiry or network; AWS advises against keys as the only proof"


def kinds(template: Template, entry: Entry) -> set[type]:
    """Return the kinds of credential that a route takes."""
    return {type(template.config.authenticators[name]) for name in entry.config.auth.any_of}


def needs_keys(template: Template, entry: Entry) -> bool:
    """Say whether callers must send a key of AWS: as their credential, or to be counted apart."""
    if AnonymousConfig in kinds(template, entry):
        return False
    if kinds(template, entry) == {ApiKeyConfig} and not template.signed:
        return True
    return any(limit.quota.per in CALLERS and limit.quota.unit == "requests" for limit in entry.route.limits)


def needs_certificates(template: Template, listed: list[Entry]) -> bool:
    """Say whether there is a route that takes nothing but certificates."""
    return not template.signed and any(kinds(template, entry) == {MtlsConfig} for entry in listed)


def access(template: Template, entry: Entry) -> dict[str, Any]:
    """Return the properties of a method that say who may call it."""
    taken = kinds(template, entry)
    keys = {"ApiKeyRequired": needs_keys(template, entry)}
    if template.signed and AnonymousConfig not in taken:
        for name in entry.config.auth.any_of:
            feature = FEATURES[type(template.config.authenticators[name])]
            detail = "callers sign with keys of AWS instead (AWS_IAM), and IAM says who may call"
            template.lose(feature, f"authenticators.{name}", detail, BEHIND, Kind.LOST)
        if len(entry.config.auth.any_of) > 1:
            where = f"routes.{entry.config.name}.auth.any_of"
            template.lose(Feature.AUTH_SEVERAL, where, "callers sign", BEHIND, Kind.LOST)
        return {"AuthorizationType": "AWS_IAM", **keys}
    if AnonymousConfig in taken:
        return {"AuthorizationType": "NONE", **keys}
    if taken == {ApiKeyConfig}:
        for name in entry.config.auth.any_of:
            template.lose(Feature.AUTH_API_KEY, f"authenticators.{name}", OWN_KEYS, BEHIND)
        return {"AuthorizationType": "NONE", **keys}
    if taken == {MtlsConfig}:
        for name in entry.config.auth.any_of:
            detail = "every certificate that the trust store signs is taken, whatever name is in it"
            template.lose(Feature.AUTH_MTLS, f"authenticators.{name}", detail, BEHIND)
        return {"AuthorizationType": "NONE", **keys}
    for name in entry.config.auth.any_of:
        feature = FEATURES[type(template.config.authenticators[name])]
        detail = "a Lambda function of your own decides, asked for every request"
        remedy = "Let the function hold what this policy says, or put Vallum behind the API."
        template.lose(feature, f"authenticators.{name}", detail, remedy)
    return {"AuthorizationType": "CUSTOM", "AuthorizerId": _authoriser(template), **keys}


def _authoriser(template: Template) -> Ref:
    """Return the reference to the Lambda authoriser."""
    if "Authoriser" in template.resources:
        return Ref("Authoriser")
    function = template.ask(
        "AuthoriserFunctionArn",
        "ARN of the Lambda function that says who is calling; it is sent the request's head",
        AllowedPattern=f"{ARN}lambda:[a-z0-9-]+:[0-9]{{12}}:function:[A-Za-z0-9_:-]+",
    )
    invoked = "arn:${AWS::Partition}:apigateway:${AWS::Region}:lambda:path/2015-03-31/functions/"
    properties = {
        "RestApiId": Ref("Api"),
        "Name": "callers",
        "Type": "REQUEST",
        "AuthorizerUri": Sub(f"{invoked}${{{function}}}/invocations"),
        "AuthorizerResultTtlInSeconds": Noted(0, "Nothing is remembered: what was revoked is refused at once."),
    }
    template.add("Authoriser", "AWS::ApiGateway::Authorizer", properties)
    source = "arn:${AWS::Partition}:execute-api:${AWS::Region}:${AWS::AccountId}:${Api}/authorizers/${Authoriser}"
    permission = {
        "Action": "lambda:InvokeFunction",
        "FunctionName": Ref(function),
        "Principal": "apigateway.amazonaws.com",
        "SourceArn": Sub(source),
    }
    template.add("AuthoriserPermission", "AWS::Lambda::Permission", permission)
    return Ref("Authoriser")


def add_domain(template: Template) -> None:
    """Add the domain at which clients must show a certificate: the only way in."""
    template.ask("DomainName", "The API's own name, such as models.example")
    template.ask(
        "CertificateArn", "ARN of the name's certificate, in this region", AllowedPattern=f"{ARN}acm:[A-Za-z0-9:/-]+"
    )
    template.ask(
        "TruststoreUri",
        "Authorities whose client certificates are taken: a PEM file in a bucket with versions",
        AllowedPattern="s3://.+",
    )
    template.ask("TruststoreVersion", "Version of that file: a new one is a new deployment")
    properties = {
        "DomainName": Ref("DomainName"),
        "RegionalCertificateArn": Ref("CertificateArn"),
        "SecurityPolicy": "TLS_1_2",
        "EndpointConfiguration": {"Types": ["REGIONAL"]},
        "MutualTlsAuthentication": {
            "TruststoreUri": Ref("TruststoreUri"),
            "TruststoreVersion": Ref("TruststoreVersion"),
        },
    }
    comment = "Clients show a certificate here.  API Gateway asks for no revocation list."
    template.add("Domain", "AWS::ApiGateway::DomainName", properties, comment)
    mapping = {"DomainName": Ref("Domain"), "RestApiId": Ref("Api"), "Stage": Ref("Stage")}
    template.add("DomainMapping", "AWS::ApiGateway::BasePathMapping", mapping)
    template.outputs["DomainTarget"] = {
        "Description": "What the name's record points to",
        "Value": GetAtt("Domain", "RegionalDomainName"),
    }


def answer_common(template: Template, listed: list[Entry]) -> None:
    """Say what becomes of what routes ask of callers besides a credential."""
    if not needs_certificates(template, listed):
        return
    asked = dict.fromkeys([name for entry in listed for name in entry.config.auth.any_of])
    for name in asked:
        kind = type(template.config.authenticators[name])
        if kind is not MtlsConfig:
            template.lose(
                FEATURES[kind],
                f"authenticators.{name}",
                "its callers need a certificate too: the domain asks everybody for one",
                "Export routes with certificates as an API of their own.",
            )
